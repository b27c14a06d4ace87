"""What the page of results says between its tables, and the published numbers."""

INTRODUCTION = """\
Pettersson, Jerzak and Daoud (2025, arXiv 2508.01341) draw 50 trials of 10,000 places with effects between -2
and 2. A need moves treatment and outcome; the outcome is seen through a random network of four layers that
drops a fifth of its hidden units at random; and a network learns to read it back from 10,000 other places.
Predictions shrink to the mean, and so do effects on them. Every estimate is regressed on the true effect: right
ones have slope 1 and intercept 0."""

ONE = """\
The text of the paper says that each trial has a random network of its own. In the published program a seed is
set within training, before the next network is drawn, so that all networks but the first are the same one; we
draw that one here, and then, below, one for each trial. Ours differs in this: batches of 256 at a rate of 0.001
in place of one batch at 0.0001; weights from a logit fitted to the trial, each arm to a mean of 1 (Hajek), in
place of the true propensity without that; corrections by `ec.debias`, which recalibrates first and estimates
the density by Lindsey's spline, in place of scipy's kernels; PPI as PPI++ on doubly robust scores
(`ec.ppi(adjust="aipw")`) in place of PPI on weighted outcomes. Ratledge et al. train the map itself on a loss
that holds the mean error in each fifth of the outcome down; the penalty counts 4, which is what the published
program comes to (it multiplies by 2 twice)."""

COVERAGE = """\
The paper has no standard errors. Here each map is applied to more trials of the same kind, each with 2,000
labelled places that the map has not seen to calibrate it by. Shares of nominal 95% intervals that hold the true
effect; `se / sd` is the root mean square of standard errors over the spread of the estimates around the truth
of their trial."""

FRESH = """\
With a network of its own for each trial, how much a map loses varies from trial to trial, so naive estimates
scatter about their line. The corrections measure each map's loss and need no map to be like another."""

# Slope, its standard error, intercept and mean absolute error, from the estimates that the authors stored.
PUBLISHED = {
    "true outcome": (1.0022, 0.0039, -0.004, 0.0244),
    "naive": (0.5346, 0.0041, 0.006, 0.4794),
    "lcc": (1.0068, 0.0067, -0.024, 0.0491),
    "tweedie": (0.9947, 0.0061, -0.009, 0.0410),
    "ppi++": (0.9834, 0.0279, 0.116, 0.1914),
    "Ratledge loss": (0.8062, 0.0241, 0.032, 0.1845),
}
