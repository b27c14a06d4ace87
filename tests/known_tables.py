"""Tables of studies whose results are printed in books and manuals, with the columns that these use."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

# What the adjusted estimates of the Lalonde samples are given, with and without indicators of no earnings.
MEN = ["age", "education", "black", "hispanic", "married", "nodegree", "re74", "re75"]
WITH_ZEROS = [*MEN, "u74", "u75"]
# Stata's manual: a probit of smoking on these, the outcome on those.
SMOKING = ["mmarried", "mage", "mage2", "fbaby", "medu"]
WEIGHT = ["prenatal1", "mmarried", "mage", "fbaby"]


def births() -> pd.DataFrame:
    """Cattaneo's birthweight data, which statsmodels carries in its tests."""
    import statsmodels

    path = Path(statsmodels.__file__).parent / "treatment/tests/results/cataneo2.csv"
    table = pd.read_csv(path)
    table["smoke"] = (table["mbsmoke"] == "smoker").astype(int)
    for name in ("mmarried", "fbaby", "prenatal1"):
        table[name] = (table[name].astype(str).str.lower().isin(["1", "yes", "married"])).astype(int)
    return table.assign(mage2=table["mage"] ** 2)


def lalonde(shared: Path, controls: str) -> pd.DataFrame:
    """The treated of the NSW experiment with controls of a survey."""
    table = pd.read_csv(shared / "data/lalonde/lalonde.csv")
    treated = table[(table["sample"] == "nsw_dw") & (table["treat"] == 1)]
    table = pd.concat([treated, table[table["sample"] == controls]], ignore_index=True)
    return table.assign(u74=(table["re74"] == 0).astype(int), u75=(table["re75"] == 0).astype(int))


def smokers(shared: Path) -> pd.DataFrame:
    """The complete cases of nhefs as in What If: ``quit``, ``gain``, covariates, their squares and indicators."""
    table = pd.read_parquet(shared / "data/nhefs/nhefs_complete.parquet")
    columns = {"quit": table["qsmk"].astype(int), "gain": table["wt82_71"].astype(float)}
    for name in ("sex", "race"):
        columns[name] = table[name].astype(int)
    for name in ("age", "smokeintensity", "smokeyrs", "wt71"):
        columns[name] = table[name].astype(float)
        columns[f"{name}2"] = table[name].astype(float) ** 2
    for name in ("education", "exercise", "active"):
        for level in sorted(table[name].unique())[1:]:
            columns[f"{name}{level}"] = (table[name] == level).astype(int)
    return pd.DataFrame(columns)
