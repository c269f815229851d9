"""What is irradiated: Phantom = CT + Structures; builders, margins, planning volumes, the spine generator, cohorts."""

from rtsim.phantom.cohort import CohortMember, cohort_table, sample_cohort

__all__ = ["CohortMember", "cohort_table", "sample_cohort"]
