"""What the page of results says between its tables."""

INTRODUCTION = """\
2,082 young people in 327 villages of northern Uganda, 825 of whom were drawn by lot for cash grants (Blattman,
Fiala and Martinez 2020), and a picture of each village from before. Do features of the pictures find who gains?
Two things are asked: whether this package finds what R's grf does, and what may be claimed. Pictures stay whole
in every split, forest and standard error, because the lot nearly drew villages: 278 of the 327 pictures show
one arm alone."""

ANCHORS = """\
The columns of grf were measured once with grf 2.6.1 on the same published CLIP-RSICD features (2,000 trees, the
share of the treated as propensity, clusters by picture, 200 half-sample draws; sequential folds with 1,000 trees).
Here forests draw as many candidates a cut as grf's do (43 of 512, 28 of 50), have as many trees, and are judged by
grf's sums over units. Four things differ. grf learns what the outcome is expected to be by forests out of bag;
here it is ridge regression on 50 components out of fold. The published numbers rest on components of all units;
both these and components of the training units alone are shown. grf's file leaves out the seven units whose
`x4` is missing. And splits are other draws: the standard deviation of a mean over 20 halves is about 0.2, so two
such means differ by 0.3 now and then with the same method. One split proves nothing. Measured once beside this
table, on components of all units: forests of 500 trees have 1.68 and 1.90 on the same 20 splits, and 1.55 and 1.78
over 60; forests of 2,000 trees 1.91 and 2.09 over 60, so more trees rank better here. Random forests in place of
ridge for the expected outcome (500 trees, 20 splits) have 1.79 and 1.87, and exact integration in place of grf's
sums 1.67 and 1.90: neither makes the gap. The splits do. grf 2.6.1, run on 20 splits of this package with 2,000
trees, has 1.93 (AUTOC) and 2.21 (QINI) where `Forest(trees=2000, candidates=28)` has 2.05 and 2.07: differences of
0.12 (standard error 0.19) and -0.14 (0.14), split by split."""

CANDIDATES = """\
The default of `ec.Forest` tries every column at every cut. It has 500 trees here against 2,000 above, which matters
too, so the rows do not tell candidates from trees."""

JUDGED = """\
On 50 components of the training folds, 500 trees. Above, effects out of bag are tested as grf does, with slopes
above 2: predicted effects differ too little, for the forest shrinks them. Here every fold is judged by forests of
earlier folds alone, which is what a claim may rest on, on one deal of the pictures after another."""

COMPARED = """\
Same folds and nuisances for all; medians over three deals of the pictures into five folds, forests of 200 trees on
at most 50 components of each block. `difference` is from the three covariates, with intervals that hold for
all at once. Sides in pixels are of the middle of the published 35-pixel pictures, encoded by 128 random
convolutional features each."""

SIZES = """\
Zhu, Jerzak and Daoud (2025) search sizes of Ugandan pictures, alone and in pairs, for the largest ratio of AUTOC
to its standard error, and report the gain of two sizes over one. Theirs are Landsat pictures of 16 to 349 pixels of
14 metres with CLIP-RSICD features. The public pictures are 35 pixels of clipped colours without a place, so ours
are 8, 16 and 35 pixels of these with random features: the same kind of table, and not the same pictures. The naive
gain is taken where it is searched; `by chance` is what the search would gain were all sets equally good; `chosen
beforehand` is judged in folds that did not choose; the control joins a size with a noisy copy of itself."""

# Of the paper's first table: gain, its standard error, best single size and best pair.
PUBLISHED = {
    "components (50)": (0.95, 0.10, "349 / 32, 128"),
    "raw": (0.41, 0.09, "16 / 16, 349"),
}
