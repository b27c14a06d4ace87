"""What the page of results says between its tables."""

INTRODUCTION = """\
Treated are villages within 25 km of the site of an aid project; the outcome is the mean asset wealth of
the village's households in a survey. Nothing was randomised: officials chose places. So read the
estimates as what is left after adjusting, and read the placebo before believing any of them."""

WHO = """\
`placement`: a project of the funder started 3 to 8 years before the survey; all other villages of the
same country-years are controls. `placebo`: a project started 1 to 5 years *after* the survey, and none
before. `later_wave`: countries surveyed twice; a project started after the pictures of the earlier survey
ended (2011) and before the year of the later survey. Country-years with fewer than 10 villages in either
arm are left out. Points are displaced by up to 2 km (urban) or 5 km (rural) by the survey, so some
villages near the 25 km ring are misplaced. A village may be near projects of both funders; each funder is
compared by itself."""

PLACEMENT = """\
Tables are the country-year and whether the village is urban; coordinates are longitude, latitude, their
squares and their product. Errors and folds are by cells of half a degree, about 55 km, because one
project treats all villages within 25 km. Towns get projects and are wealthier, so the plain difference is
not an effect."""

ERRORS = """\
One estimate per funder (AIPW, tables and coordinates), one set of influence values, several standard
errors. Villages near one project share it, so errors that take villages as independent are too small.
With a dozen countries, errors clustered by country lean on few clusters themselves; those of Conley at
long cutoffs likewise, and may fall again."""

PLACEBO = """\
A project that has not begun cannot have made a village wealthy. If adjusting were enough, these estimates
would be zero up to their errors. Where they are not, that much of the placement effects may be how places
are chosen. The overlap weights (`ato`) are the ones to read: few villages get their first project within
a given window."""

ASSIGNMENT = """\
Area under the ROC curve of treatment, predicted for blocks of ground of 85 to 210 km that nothing was
learned from (`ec.assignment`), from covariates, from features and from both; `auc_added` is what features
add to the covariates that are named, with an interval over blocks. `r2` is the share of the variance of
wealth within arms that the same columns predict. Coordinates that fit a map well say nothing of places
beyond it. What models saw in pictures ending in 2011 (wealth predicted nearby) tells treated villages
from others by itself; what it adds to tables is the question, and what it adds to an earlier survey of the
same neighbourhood another. Learned where they are not used, some predictions are far from what happens
(the middle panels of the figures): overlap weights and a look at the errors matter more than the AUC."""

PAST = """\
What was known of the neighbourhood before: the mean, over villages within 50 km that an *earlier* survey
visited, of their wealth and of the wealth that two models predicted from pictures ending in 2011 (daytime
Landsat, and night lights; models trained without the country), and how many there were. Projects start in
2012 or later, so these columns are from before treatment. `aid_before` says whether an earlier project
was near. Villages with no earlier village within 50 km are left out of all rows ({left}). The earlier
wealth of neighbours may itself owe to earlier projects; that is the past, and adjusting for it asks what
*new* projects added."""

ARMS = """\
Villages near projects of China only, of the World Bank only, of both, and of neither, in the
{country_years} country-years that have at least ten of each ({counts}). AIPW, tables and coordinates;
each term is an arm against none."""

SECTORS = """\
Every funder and sector with at least 30 villages, in 15 cells, in both arms; controls are villages of the
same country-years without a project of that funder and sector in the window (they may have others). AIPW
effects on the treated, tables and coordinates, penalties fixed for speed. With so many tests some are
large by chance; `p_holm` is adjusted for their number."""

TRAP = """\
The folder holds 24 columns of wealth *predicted from satellite pictures*. They look like what an analyst
needs, images to adjust for, and they are not: each is made of pictures of the years of the survey, after
the projects began. They see the roofs and lamps that a project brought. Adjusting for them takes away
part of the effect itself and adds collider bias; and as predictions of the outcome they would shrink any
difference. This page therefore has no row adjusted for them. Told the days of the pictures, the package
refuses. The maps of predicted wealth of Nigeria (2012-2014) are from before no project of these tables
that a later survey could follow (the last survey is of 2015), so they are not used either. What can be
used of pictures is in the section on what was known before."""

SOURCES = """\
  africa_aid/projects.csv
      github.com/AIandGlobalDevelopmentLab/OneMapManyTrials, commit 53d68808da57cb1913eb08f4751517105ca8c4e3,
      aid_data/interim/interventions.csv (AidData, ODC-By)
  africa_wealth/clusters.parquet
      github.com/sustainlab-group/africa_poverty, commit a595f0d353bff8b65b7b0cd74a2bb692ef2fec06,
      data/predictions/dhs_incountry_preds.csv and dhs_ooc_preds_ooc.csv (MIT; Yeh et al. 2020)
replications/README.md says how they become these two tables."""
