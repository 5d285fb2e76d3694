"""The choice of results: the record that tools, cache, workers and HTTP client share."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ResultsSpec:
    """The results of one job, with or without each optional column.

    An option is called `include_` and the column that it adds, in Sutro's API as here.
    """

    job_id: str
    include_inputs: bool = False
    include_cumulative_logprobs: bool = False

    @property
    def doing(self) -> str:
        return f"read the results of {self.job_id}"

    @property
    def options(self) -> dict[str, bool]:
        """Every option by its name."""
        return {name: value for name, value in asdict(self).items() if name != "job_id"}

    @property
    def optional_columns(self) -> dict[str, bool]:
        """Every column that an option adds, and whether it was asked for."""
        return {name.removeprefix("include_"): value for name, value in self.options.items()}
