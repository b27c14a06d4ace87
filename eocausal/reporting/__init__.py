"""The report: results laid out for a reader who decides, in one HTML file that needs nothing else.

``report`` checks and writes, ``study`` sorts what was handed in, ``sections`` decides what stands where, ``words``
says it plainly, ``origins`` tells warnings and provenance, ``tables``, ``figures``, ``maps`` and ``pictures`` show
it, and ``blocks`` is the vocabulary that the template knows.
"""
