"""What the page of results says between its tables."""

INTRODUCTION = """\
Jerzak, Vashistha and Daoud (2024) ask whether sequences of pictures find more heterogeneity than single ones, and
whether encoders with more parameters do. Their design is not published in a form that could be followed, so this
is a study of our own: 6 yearly pictures of 9 pixels a side, in which one band stands apart from the other by a
level, a trend and a volatility that are independent over places. Treatment is by lot, and its effect follows one of
the three. Encoders are untrained: the mean of each band, which is linear in the pixels, and random convolutional
features of growing width, which are not."""

READ = """\
`R2` is of predicted with true effects out of fold, by the R-learner with ridge regression. `AUTOC share` and `QINI
share` are of true effects ranked by predicted ones, over what perfect ranks have; the ratios are those of RATE to
its standard error from outcomes alone, as a study would have them. Means over two worlds. The mean of the years of
a linear encoder knows nothing of trend and volatility. Means of features that are not linear in the pixels do:
where a series swings wide, the mean of a bent response to it is another."""

FOREST = """\
The same by a causal forest of 200 trees on the widest encoder, which may find what is not linear in the columns."""
