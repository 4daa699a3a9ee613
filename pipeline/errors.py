"""The one exception that is meant for the person at the terminal."""


class CsmvError(Exception):
    """A sentence that says what was expected, what was found and what to do; shown without a traceback.

    Its text must never hold personal data: it reaches logs and Prefect's database.
    """
