"""What the page of results says between its tables, and where the data come from."""

INTRODUCTION = """\
Three public data sets without pictures: two trials, in which nobody knows who gains, and Hill's (2011) simulated
outcomes of real children, in which everybody's gain is known."""

TRIALS = """\
`graduation`: 854 very poor households in Sindh, drawn by lot for assets, training and cash (Banerjee and others
2015); 20 answers from before, effects on indices and consumption two years later. `schools`: 17,299 pupils of 851
Brazilian schools, drawn by school for lessons in finance (Bruhn and others 2016); 13 answers from before, some of
them missing, which forests keep (`missing="keep"`) and part units by. Forests are judged by five sequential folds
that keep schools whole. `AUTOC` and `QINI` are medians over several deals of the folds (10, of schools 3), with the
range of their ratios; `p over deals` is twice the median p-value. `slope` is that of the test of calibration, and
`most less least` compares the quarters of largest and smallest predicted effects, both of the first deal."""

KNOWN = """\
Nine worlds of 747 children and 25 covariates. `root mean squared error` is that of predicted effects out of fold
(PEHE), `R2` the share of the variance of true effects that is explained, `slope` that of a regression of true on
predicted effects, 1 where predictions are right, and `AUTOC share` the AUTOC of true effects ranked by predicted
ones over that of perfect ranks. `calibration` is what the test of calibration says of that slope without knowing
the truth. Medians over worlds; the ninth has effects ten times as spread as the others."""

SOURCES = """\
  graduation_pakistan/households.csv
      github.com/DavidRitzwoller/longterm, commit 9a4acac7d60b2bb0e73ca3cc19fca5f51620406f,
      data/graduation.rda (MIT)
  schoolrct_brazil/students.parquet
      github.com/grf-labs/grf, commit 5bee99b51471f76cb2d63acbc8a9b0ffec408ba0,
      r-package/grf/data/schoolrct.rda (data CC BY 4.0, package GPL-3)
  ihdp/ihdp_npci.parquet
      github.com/uber/causalml, commit f7007c94522a1f69c1b51dd0c4046d978593a115,
      docs/examples/data/ihdp_npci_1.csv to ihdp_npci_9.csv (Apache-2.0)
replications/README.md says how they become these files."""
