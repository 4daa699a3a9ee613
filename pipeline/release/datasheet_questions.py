"""The questions of a datasheet, by section, in words of our own.

Source: T. Gebru and others, "Datasheets for Datasets", Communications of the ACM 64 (12), 2021.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A question; `for_people` if the data alone can't answer it whole, so that a place is left for people."""

    key: str
    text: str
    for_people: bool = True


def _known(key: str, text: str) -> Question:
    return Question(key, text, for_people=False)


SECTIONS: dict[str, tuple[Question, ...]] = {
    "Motivation": (
        Question("purpose", "For which purpose was the dataset made, and which gap does it fill?"),
        Question("creators", "Who made it: which people or team, on behalf of which body?"),
        Question("funding", "Who paid for it, under which grants?"),
        Question("motivation_more", "Anything else about why?"),
    ),
    "Composition": (
        _known("instances", "What does an instance stand for?"),
        _known("counts", "How many instances of each kind are there?"),
        Question("sampling", "Is this everything, or a sample of something larger, and how representative?"),
        _known("fields", "What does an instance consist of?"),
        _known("labels", "Is there a label or target?"),
        _known("missing", "What is missing from instances, and why?"),
        _known("relations", "How are instances related to each other?"),
        _known("splits", "Which splits are recommended, and what has train seen of dev and test?"),
        Question("errors", "Which errors, noise or repetitions are known?"),
        _known("external", "Does it depend on anything outside, and for how long will that be there?"),
        _known("confidential", "Does it hold anything confidential?"),
        Question("offensive", "Could it offend, insult, threaten or frighten those who read it?"),
        Question("groups", "Does it tell groups of people apart, such as by age, gender or language?"),
        _known("identifiable", "Can persons be identified in it, directly or with other data?"),
        Question("sensitive", "Does it reveal anything sensitive: origin, faith, opinions, health, money?"),
        Question("composition_more", "Anything else about what is in it?"),
    ),
    "Collection": (
        _known("acquired", "How was the data of an instance got: seen, reported, inferred?"),
        _known("mechanisms", "By which machines, programs or people, and how was that checked?"),
        Question("strategy", "If it is a sample: how was it drawn?"),
        Question("workers", "Who took part in collecting and labelling, and how were they paid?"),
        _known("timeframe", "From when is the data, and when was it collected?"),
        Question("ethics", "Was there an ethical review, and what came of it?"),
        _known("directly", "Did it come from the persons themselves or from others?"),
        Question("notified", "Were the persons told?"),
        Question("consent", "Did they consent, and to what?"),
        _known("revocation", "How can somebody take consent back, or be left out?"),
        Question("impact", "Was the effect on those persons assessed?"),
        Question("collection_more", "Anything else about how it was collected?"),
    ),
    "Preprocessing, cleaning, labelling": (
        _known("preprocessing", "What was done to the raw data?"),
        _known("raw", "Is the raw data kept too?"),
        _known("software", "Is the software that did it available?"),
        Question("preprocessing_more", "Anything else about what was done to it?"),
    ),
    "Uses": (
        Question("used", "What has it been used for already?"),
        Question("papers", "Where are papers and systems listed that use it?"),
        Question("other_tasks", "What else could it be used for?"),
        Question("consequences", "What about it could harm or mislead future uses, and what can be done about that?"),
        Question("not_for", "What should it not be used for?"),
        Question("uses_more", "Anything else about uses?"),
    ),
    "Distribution": (
        Question("third_parties", "Who gets it outside the body that made it?"),
        _known("how", "How is it distributed, and has it a DOI?"),
        Question("when", "When is it distributed?"),
        _known("licence", "Under which licence or terms?"),
        Question("restrictions", "Do others hold rights in the data?"),
        Question("export", "Do export controls or other rules apply?"),
        Question("distribution_more", "Anything else about distribution?"),
    ),
    "Maintenance": (
        Question("maintainer", "Who supports, hosts and maintains it?"),
        Question("contact", "How can they be reached?"),
        Question("erratum", "Is there an erratum?"),
        _known("updates", "Will it be updated, how often, and how is that told?"),
        Question("retention", "Are there limits to how long data of persons is kept?"),
        Question("older", "Will older versions stay available?"),
        _known("extend", "How can others add to it?"),
        Question("maintenance_more", "Anything else about maintenance?"),
    ),
}
