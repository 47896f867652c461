"""Evolutionary search: networks under a budget, the best of them changed at random and crossed in pairs.

The same seed and the same scores give the same search.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from dense3d.errors import ConfigError
from projects.vit_resnas.space import Network, SearchSpace

ATTEMPTS = 2000  # to find one more network


class Scored(NamedTuple):
    """A network with its accuracy in percent and its multiply-adds."""

    network: Network
    accuracy: float
    macs: int


@dataclass(frozen=True)
class Settings:
    """Of a search; the numbers of the paper unless given.

    Attributes:
        macs: budget of multiply-adds.
        least: share of the budget that a network has to use.
        iterations: of them the first scores a random population.
        population: networks of the first iteration.
        parents: the best of all so far, from which others come.
        children: of an iteration, by mutation, and as many by crossover.
        mutation: probability that mutation draws a gene anew.
        seed: of everything random.
    """

    macs: float
    least: float = 0.975
    iterations: int = 20
    population: int = 500
    parents: int = 75
    children: int = 75
    mutation: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (self.iterations, self.population, self.children)
        if self.macs <= 0 or not 0 <= self.least < 1 or not 0 < self.mutation <= 1 or min(counts) < 1:
            raise ConfigError(
                "a search needs a positive budget, a least share of it in [0, 1), a mutation in (0, 1], and "
                "one iteration, network and child or more"
            )
        if self.parents < 2:
            raise ConfigError(f"parents={self.parents}: crossover needs 2 or more")


class Evolution:
    """The networks of a search.

    Args:
        space: to search in.
        cost: multiply-adds of a network.
        settings: budget, numbers and seed.

    Raises:
        ConfigError: no network of the space is within the budget.
    """

    def __init__(self, space: SearchSpace, cost: Callable[[Network], int], settings: Settings) -> None:
        self.space, self.cost, self.settings = space, cost, settings
        self.random = random.Random(settings.seed)
        low, high = cost(space.smallest), cost(space.largest)
        if low > settings.macs or high < settings.least * settings.macs:
            raise ConfigError(
                f"networks of this space have {low:.4g} to {high:.4g} multiply-adds, and none has between "
                f"{settings.least * settings.macs:.4g} and {settings.macs:.4g}: set --macs in that range"
            )

    def run(self, score: Callable[[int, list[Network]], list[float]]) -> list[Scored]:
        """Search.

        Args:
            score: accuracies of the networks of an iteration, whose number, from 0, comes first.

        Returns:
            All networks, the best first; of equals, the cheapest.

        Raises:
            ConfigError: no random network is within the budget.
        """
        found: list[Scored] = []
        for iteration in range(self.settings.iterations):
            networks = self._children(found) if iteration else self._population()
            if not networks:
                continue  # every attempt gave a network that is known
            found += [
                Scored(network, accuracy, self.cost(network))
                for network, accuracy in zip(networks, score(iteration, networks))
            ]
            found.sort(key=lambda one: (-one.accuracy, one.macs, one.network))
        return found

    def _population(self) -> list[Network]:
        networks = self._new(self.random_network, self.settings.population, set())
        if not networks:
            raise ConfigError(
                f"none of {ATTEMPTS} random networks has between {self.settings.least:g} and 1 of "
                f"{self.settings.macs:.4g} multiply-adds: set --least lower"
            )
        return networks

    def _children(self, found: list[Scored]) -> list[Network]:
        parents = [one.network for one in found[: self.settings.parents]]
        known = {one.network for one in found}
        count = self.settings.children
        children = self._new(lambda: self.mutated(self.random.choice(parents)), count, known)
        if len(parents) > 1:
            crossed = self._new(
                lambda: self.crossed(*self.random.sample(parents, 2)), count, known | set(children)
            )
            children += crossed
        return children

    def _new(self, make: Callable[[], Network | None], count: int, known: set[Network]) -> list[Network]:
        """Networks within the budget, other than the known ones; fewer if hardly any are new."""
        networks: dict[Network, None] = {}
        failures = 0
        while len(networks) < count and failures < ATTEMPTS:
            network = make()
            if network is None or network in known or network in networks or not self.fits(network):
                failures += 1
                continue
            networks[network], failures = None, 0
        return list(networks)

    def fits(self, network: Network) -> bool:
        """Whether a network is within the budget and uses the least share of it."""
        return self.settings.least * self.settings.macs <= self.cost(network) <= self.settings.macs

    def random_network(self) -> Network | None:
        """Random widths and blocks, with heads and hidden channels taken away until the budget is kept.

        None if they cannot be.
        """
        free = [gene.kind in ("dim", "exists") for gene in self.space.genes]
        drawn = (self.random.choice(g.choices) if f else g.choices[0] for g, f in zip(self.space.genes, free))
        network = list(self.space.settled(tuple(drawn)))
        while self.cost(tuple(network)) > self.settings.macs:
            smaller = list(self._reductions(network))
            if not smaller:
                return None
            index, value = self.random.choice(smaller)
            network[index] = value
        return tuple(network)

    def _reductions(self, network: list[int]) -> Iterator[tuple[int, int]]:
        """Genes of heads and hidden channels, with the next smaller choice of each."""
        for index, (gene, value) in enumerate(zip(self.space.genes, network)):
            if gene.kind in ("heads", "hidden") and value != gene.choices[-1]:
                yield index, gene.choices[gene.choices.index(value) + 1]

    def mutated(self, network: Network) -> Network:
        """Each gene drawn anew with the probability of mutation."""
        drawn = tuple(
            self.random.choice(gene.choices) if self.random.random() < self.settings.mutation else value
            for gene, value in zip(self.space.genes, network)
        )
        return self.space.settled(drawn)

    def crossed(self, first: Network, second: Network) -> Network:
        """Each gene from one parent or the other."""
        return self.space.settled(tuple(self.random.choice(pair) for pair in zip(first, second)))
