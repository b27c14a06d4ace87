"""What the page of results says between its tables."""

INTRODUCTION = """\
Zhu, Jerzak and Daoud (2025, PMLR 275) change pictures of 32 and of 256 pixels in four ways, let outcomes
follow the changes, and ask how well features of one size, or of both side by side, predict them. A small
black square (`BLOB`) is seen at 32 pixels, darkened edges (`EDGE`) at 256 alone, more contrast (`CONTRAST`)
and a turn (`ROTATION`) at both. Their pictures (Landsat, Peru) and their encoder (CLIP-RSICD) are not to be
had offline. Here pictures are drawn by the script (clouds of several grains in three bands), and the
encoder is random convolutional features, 128 for each size, with a mean and a spread as long as those of
CLIP features of Ugandan villages. So the pattern can be compared, and not the digits."""

PARITY = """\
Their learner: 128 and 32 hidden units, 100 steps of Adam at 0.001 on all rows, raw targets of the size of
100. Shares of variance explained out of fold, two seeds; theirs beside ours, from the file of results of
their repository. `gain` is that of both sizes over the better one, as a share of it."""

OPTIMISATION = """\
**What the learner does.** The same pictures and outcomes, learned by ridge regression with a penalty chosen
by cross-validation. Where the network reaches a fraction of it, the published table tells how fast a
network learns a target, not what pictures hold: outcomes that are zero on average are learned faster, and
twice as many columns take twice as large steps."""

EFFECTS = """\
**As effects of a treatment.** Treatment by lot, the change in pictures moves its effect and not the outcome
without it. `R2` is of predicted with true effects out of fold. The search is over the two sizes and their
pair; its naive gain stands beside what the search makes by chance, the gain of sizes that were chosen
beforehand, and the control arm, which joins a size with a noisy copy of itself (`ec.scale_search`, medians
over splits)."""

# Mean share of variance explained: 32 pixels, 256 pixels, both; by (rotation, blob, contrast, edge).
PUBLISHED = {
    (0, 0, 0, 1): (-0.007, 0.194, 0.151),
    (0, 0, 1, 0): (0.186, 0.197, 0.318),
    (0, 0, 1, 1): (0.058, 0.093, 0.152),
    (0, 1, 0, 0): (0.223, 0.000, 0.154),
    (0, 1, 0, 1): (0.077, 0.088, 0.128),
    (0, 1, 1, 0): (0.087, 0.047, 0.134),
    (0, 1, 1, 1): (0.028, 0.037, 0.082),
    (1, 0, 0, 0): (-0.001, 0.007, 0.011),
    (1, 0, 0, 1): (0.098, 0.557, 0.630),
    (1, 0, 1, 0): (0.421, 0.522, 0.571),
    (1, 0, 1, 1): (0.077, 0.133, 0.144),
    (1, 1, 0, 0): (0.421, 0.259, 0.592),
    (1, 1, 0, 1): (0.065, 0.068, 0.126),
    (1, 1, 1, 0): (0.105, 0.057, 0.125),
    (1, 1, 1, 1): (0.049, 0.048, 0.077),
}
