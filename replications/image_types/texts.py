"""What the page of results says between its tables."""

INTRODUCTION = """\
Jerzak, Johansson and Daoud (2023) sort images into latent types whose units gain differently, by a Bayesian
mixture whose gate is a convolutional network, and apply it to the Youth Opportunities trial in Uganda. Here
the same mixture reads features of images (`ec.image_types`). The first part asks, in worlds where the truth
is known, whether it finds the types; the second runs it on the trial."""

RECOVERY = """\
Pictures are convolved with a fixed anti-diagonal stripe, the strongest answer standardised over pictures is
`U`, and a picture is of type 2 with probability `logistic(2 U)`. Half of the units are treated, one to a
picture. Outcomes are `0.5 U' + effect of the type x treated + noise`, `U'` the answer to another stripe;
the effects are 0 and 1. The published numbers of the design are not known to us; this follows its
description. Features are answers to stripes of six widths (`stripes`, which hold the truth) or generic
random convolutions (`random`). Rows: our mixture with variances by arm (default) and by arm and type (as
published); k-means on the components of the features with a difference in means in each cluster; effects by
a causal forest parted by 2-means, with a difference in means in each part. `correlation` is that of the
probability of type 2, out of fold where anything is learned, with the true probability; `error` is the mean
absolute error of the two effects (of the mixture: the posterior means of the fit to all units)."""

RECOVERY_READ = """\
A difference in means in clusters that know nothing of effects is pulled to the average: an error of 0.5 is
what two equal effects give. Where features tell nothing, the mixture reads two effects off the shape of
treated outcomes alone, which only a normal world allows. The TARNet of the paper is left out."""

UGANDA = """\
Published: effects of 0.741 and 0.95 on skilled labour two years after the grants, read off a figure, from
three-band Landsat mosaics of 5 km. Here: a standardised index as outcome (skilled labour is not in the
public files), CLIP features of pictures at the same places, 327 of them. `effect` averages doubly robust
scores by the probability of the type by models of earlier folds, with errors clustered by picture;
`effect_by_model` is the posterior mean of the mixture."""

UGANDA_READ = """\
65% of the outcomes are at their least value. With variances by type, as published, the mixture uses its
types to tell pictures whose units are all at that value from others: the held-out likelihood soars, and the
effects by scores do not differ. With one variance for each arm the types differ in effects, in scores that
the mixture has not seen as well. The published first effect, 0.741, is that of everyone (the difference in
means is 0.7415)."""

DEALINGS = """\
One dealing of units into folds proves little. The same call (raw outcome, variances by arm) with other seeds."""

NUMBERS = """\
How likely outcomes of folds that were not learned from are under one to four types. `r_loss` says how well
effects are predicted, and does not know the mixture: where it rises with a likelihood that rises too, types
are not of effects."""

LOOK = """\
Type 1, the smaller effect, is the dry east (Karamoja); the paper reads its types as terrain and transport,
with smaller effects in rougher and less connected places."""
