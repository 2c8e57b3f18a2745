"""Items of two checklists, in our own words, with the section of the report that answers each.

CLAIM: Tejani et al., Checklist for Artificial Intelligence in Medical Imaging: 2024 update, Radiology: Artificial
Intelligence 2024; 6: e240300, 44 items. TRIPOD+AI: Collins et al., BMJ 2024; 385: e078378, 27 items with their parts.
"""

from __future__ import annotations

from collections.abc import Collection

AUTHOR = ""
"""For the author of the study: a report of a run cannot answer it."""
MADE = "How it was made"
NETWORK, PARTITIONS, INTERNAL, EXTERNAL = "network", "partitions", "internal", "external"
"""Answered under `MADE`, if the network, its partitions and the kind of test are known."""
OVERLAPPING = "overlapping"
"""Kind of a test whose frames were trained on, or may have been."""
FLOW, SIZES, GROUPS = "Flow of frames", "Millimetres and overlap", "For whom it is worst"
AGREEMENT, MARGIN, PLANES = "Agreement", "Non-inferiority", "Planes"
ACCEPTANCE, ROBUSTNESS, WORST, SUMMARY = "Acceptance", "Robustness", "Worst frames", "Summary"

CLAIM = [
    ("1", "title names the kind of AI", AUTHOR),
    ("2", "abstract", SUMMARY),
    ("3", "background, intended use", AUTHOR),
    ("4", "aims and hypotheses", AUTHOR),
    ("5", "prospective or retrospective", AUTHOR),
    ("6", "goal of the study", AUTHOR),
    ("7", "sources of the data", MADE),
    ("8", "inclusion and exclusion", FLOW),
    ("9", "preprocessing", NETWORK),
    ("10", "subsets of the data", FLOW),
    ("11", "de-identification", AUTHOR),
    ("12", "missing data", FLOW),
    ("13", "image acquisition", AUTHOR),
    ("14", "how the reference standard was made", AUTHOR),
    ("15", "why that reference standard", AUTHOR),
    ("16", "who annotated", AUTHOR),
    ("17", "annotation of the test set", AUTHOR),
    ("18", "variability between and within annotators", AUTHOR),
    ("19", "assignment to partitions", PARTITIONS),
    ("20", "level at which partitions are disjoint", PARTITIONS),
    ("21", "intended sample size", MARGIN),
    ("22", "description of the model", NETWORK),
    ("23", "software and versions", MADE),
    ("24", "initialisation of the parameters", NETWORK),
    ("25", "training", NETWORK),
    ("26", "choice of the final model", AUTHOR),
    ("27", "ensembles", NETWORK),
    ("28", "metrics", SIZES),
    ("29", "significance and uncertainty", SIZES),
    ("30", "robustness", ROBUSTNESS),
    ("31", "explainability", AUTHOR),
    ("32", "evaluation on internal data", INTERNAL),
    ("33", "testing on external data", EXTERNAL),
    ("34", "trial registration", AUTHOR),
    ("35", "numbers included and excluded", FLOW),
    ("36", "characteristics of the cases", GROUPS),
    ("37", "performance with uncertainty", SIZES),
    ("38", "precision of the performance", AGREEMENT),
    ("39", "analysis of failures", WORST),
    ("40", "limitations", AUTHOR),
    ("41", "implications for practice", AUTHOR),
    ("42", "protocol or technical details", MADE),
    ("43", "availability of software, model, data", AUTHOR),
    ("44", "funding", AUTHOR),
]
TRIPOD_AI = [
    ("1", "title", AUTHOR),
    ("2", "abstract", SUMMARY),
    ("3a", "healthcare context and rationale", AUTHOR),
    ("3b", "target population, intended use", AUTHOR),
    ("3c", "known inequalities in health", AUTHOR),
    ("4", "objectives", AUTHOR),
    ("5a", "sources of the data", MADE),
    ("5b", "dates of the data", AUTHOR),
    ("6a", "setting and centres", AUTHOR),
    ("6b", "eligibility", FLOW),
    ("6c", "treatments", AUTHOR),
    ("7", "data preparation", NETWORK),
    ("8a", "definition of the outcome", SIZES),
    ("8b", "qualification of the assessors", AUTHOR),
    ("8c", "blinding of the outcome", AUTHOR),
    ("9a", "choice of predictors", AUTHOR),
    ("9b", "definition of the predictors", NETWORK),
    ("9c", "assessors of the predictors", AUTHOR),
    ("10", "sample size", MARGIN),
    ("11", "missing data", FLOW),
    ("12a", "use of the data", NETWORK),
    ("12b", "handling of the predictors", NETWORK),
    ("12c", "type and building of the model", NETWORK),
    ("12d", "heterogeneity between clusters", GROUPS),
    ("12e", "measures of performance", SIZES),
    ("12f", "updating of the model", AUTHOR),
    ("12g", "how predictions were calculated", NETWORK),
    ("13", "class imbalance", AUTHOR),
    ("14", "fairness", GROUPS),
    ("15", "output of the model", SIZES),
    ("16", "differences between training and evaluation", NETWORK),
    ("17", "ethical approval", AUTHOR),
    ("18a", "funding", AUTHOR),
    ("18b", "conflicts of interest", AUTHOR),
    ("18c", "protocol", AUTHOR),
    ("18d", "registration", AUTHOR),
    ("18e", "availability of the data", AUTHOR),
    ("18f", "availability of the code", AUTHOR),
    ("19", "patient and public involvement", AUTHOR),
    ("20a", "flow of participants", FLOW),
    ("20b", "characteristics of participants", GROUPS),
    ("20c", "comparison with the development data", AUTHOR),
    ("21", "numbers in each analysis", FLOW),
    ("22", "specification of the model", NETWORK),
    ("23a", "performance with intervals and subgroups", GROUPS),
    ("23b", "heterogeneity of performance", GROUPS),
    ("24", "results of updating", AUTHOR),
    ("25", "interpretation", AUTHOR),
    ("26", "limitations", AUTHOR),
    ("27a", "handling of poor input", ACCEPTANCE),
    ("27b", "interaction and expertise of users", AUTHOR),
    ("27c", "next steps", AUTHOR),
]
SOURCES = (
    "CLAIM 2024: Tejani et al., Radiol Artif Intell 2024; 6: e240300. TRIPOD+AI: Collins et al., BMJ 2024; 385: "
    "e078378. Items are named in our own words; read the checklists for theirs. “Not done”: this run does not answer "
    "the item, and the author of a study must."
)


def answered(items: list[tuple[str, str, str]], done: Collection[str]) -> list[list[str]]:
    """Rows (item, meaning, where in this report or "not done").

    Args:
      items: `CLAIM` or `TRIPOD_AI`.
      done: headings of the sections with content, and those of `NETWORK`, `PARTITIONS`, `INTERNAL` and `EXTERNAL`
        that the report states.
    """
    made = {NETWORK, PARTITIONS, INTERNAL, EXTERNAL}
    return [[item, text, (MADE if w in made else w) if w in done else "not done"] for item, text, w in items]
