"""Figures that are handed back: made by pyplot, so that a notebook knows them, and not held by it."""

from __future__ import annotations

from matplotlib import pyplot

from eocausal._figures import new_figure


def test_a_new_figure_has_its_size_and_leaves_the_figures_of_pyplot_as_they_were() -> None:
    mine = pyplot.figure()
    before = pyplot.get_fignums()
    figure = new_figure(6.5, 3.0)
    assert tuple(figure.get_size_inches()) == (6.5, 3.0)
    assert pyplot.get_fignums() == before
    assert pyplot.gcf() is mine
    pyplot.close(mine)
