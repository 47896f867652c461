"""VoteNet (arXiv 1904.09664): oriented boxes in point clouds by Hough voting."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "criterion": ["VoteCriterion"],
        "detector": ["VoteNet"],
        "proposals": ["ProposalHead", "Proposals"],
        "targets": ["BoxTargets", "box_targets", "box_votes", "instance_votes"],
        "voting": ["Votes", "Voting"],
    },
)
