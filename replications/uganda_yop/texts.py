"""What the page of results says between its tables."""

INTRODUCTION = """\
Groups of young people in northern Uganda were drawn by lot for cash grants (Blattman, Fiala and Martinez
2020). 2,082 of them have a picture of their village from before treatment, 327 pictures in all. The
outcome is a standardised index. Because the lot decided, adjustment is not needed for the truth of the
estimate: tables and pictures can only make it sharper, and no method should move it by much. That is what
this page checks."""

EFFECTS = """\
Errors are clustered by picture, of which some show several villages' worth of young people in both arms;
`iid` is the error if all were independent. Seven people lack `x4` and are left out wherever it is
adjusted for. Four more columns of the table are functions of the treatment and are not used; the package
refuses them by name."""

NOTE = """\
The note that comes with the data has a difference in means and two least squares without interactions.
Ours (Lin's regression) lets every covariate's slope differ by arm, so the first row is the same to the
printed digits and the others nearly."""

ERRORS = """\
One estimate (AIPW, tables and CLIP features), one set of influence values. Coordinates are approximate,
at the level of villages, so errors by distance start from what one village shares."""

ASSIGNMENT = """\
Area under the ROC curve of treatment within folds that keep pictures whole (`ec.assignment`), from tables
(`covariates`), pictures (`features`) and both. Half is no better than a coin; the noted value for CLIP
features, over all folds at once, is 0.578. It is a little above half, as it may be where the lot was drawn
within districts with different shares of winners, which pictures tell apart; tables fall below half for
the same reason, because folds that keep pictures whole differ in those shares. What pictures add is
counted from one half. They do not predict the outcome (`r2`), so they confound nothing: the package warns
that adjusting for them only adds noise."""

BALANCE = """\
Differences in standard deviations before and after weighting by entropy balancing to tables and the ten
leading components of the CLIP features, which makes their means equal by construction. The rest is what
it does beyond."""

SOURCES = """\
  uganda_yop/units.csv, chips.npz
      github.com/cjerzak/causalimages-software, commit 2c9e392fca812a7865f6b25702bfa47af9cb21bc,
      causalimages/data/CausalImagesTutorialData.RData (GPL-3)
  uganda_yop/embeddings_clip_rsicd.parquet
      github.com/cjerzak/fastrerandomize-software, commit a03f550a595ab8f2e7f4a5e2acf3d5ebba21a8cd,
      fastrerandomize/data/YOPData.RData (GPL-3)
replications/README.md says how they become these files."""
