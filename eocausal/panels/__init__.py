"""Units seen in several periods: fixed effects, event studies, group-time effects, outcomes read from images."""
