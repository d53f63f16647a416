"""Optuna beside `dmn bench tune`: python tune_peer.py '{"what": ...}' prints {"peer", "values"}, one value a round.

sampler      ms of a trial asked and told in memory when n are told already, mean of a block; DTLZ2
survival     ms of NSGA-III's selection
hypervolume  ms of the exact one
journal      trials a second asked and told through a JournalFileBackend
open         s until a journal's study and its trials are there
"""
import json
import os
import sys
import time
import numpy as np
import optuna
from optuna._hypervolume import compute_hypervolume
from optuna.distributions import FloatDistribution
from optuna.samplers import NSGAIIISampler, RandomSampler, TPESampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.samplers._nsgaiii._elite_population_selection_strategy import NSGAIIIElitePopulationSelectionStrategy
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

optuna.logging.set_verbosity(optuna.logging.ERROR)
asked = json.loads(sys.argv[1])


def dtlz2(x, M):
    product, losses = 1 + sum((value - 0.5) ** 2 for value in x[M - 1:]), [0.0] * M
    for m in range(M - 1, 0, -1):
        angle = (x[M - 1 - m] if M - 1 - m < len(x) else 0) * np.pi / 2
        losses[m] = product * np.sin(angle)
        product *= np.cos(angle)
    losses[0] = product
    return [float(loss) for loss in losses]


def space(D):
    return {f'x{d}': FloatDistribution(0, 1) for d in range(D)}


def complete(params, values, distributions):
    return create_trial(state=TrialState.COMPLETE, params=params, values=values, distributions=distributions)


def sampler_blocks(sampler, objectives, dimensions, told, block, rounds, **_):
    made = TPESampler(seed=1) if sampler == 'tpe' else NSGAIIISampler(
        seed=1, **({'population_size': 92, 'dividing_parameter': 12} if objectives == 3 else {'population_size': 300}))
    setting = 'TPE' if sampler == 'tpe' else f'NSGA-III, population {92 if objectives == 3 else 300}'
    study, distributions = optuna.create_study(directions=['minimize'] * objectives, sampler=made), space(dimensions)
    draw, values = np.random.RandomState(1), []
    for _ in range(told):
        params = {name: float(draw.rand()) for name in distributions}
        study.add_trial(complete(params, dtlz2(list(params.values()), objectives), distributions))
    for round in range(-1 if block > 1 else 0, rounds):
        start = time.perf_counter()
        for _ in range(block):
            trial = study.ask()
            study.tell(trial, dtlz2([trial.suggest_float(name, 0, 1) for name in distributions], objectives))
        if round >= 0:
            values.append((time.perf_counter() - start) / block * 1e3)
    return setting, values


def survival(losses, objectives, keep, directions, rounds, **_):
    study = optuna.create_study(directions=['minimize'] * objectives)
    rows, points = np.reshape(losses, (-1, objectives)), np.reshape(directions, (-1, objectives))
    trials, values = [complete({}, row.tolist(), {}) for row in rows], []
    for round in range(-1, rounds):
        choose = NSGAIIIElitePopulationSelectionStrategy(
            population_size=keep, reference_points=points, rng=LazyRandomState(1))
        start = time.perf_counter()
        choose(study, trials)
        if round >= 0:
            values.append((time.perf_counter() - start) * 1e3)
    return 'NSGA-III selection', values


def volume(points, reference, rounds, **_):
    values = []
    for _ in range(rounds):
        start = time.perf_counter()
        compute_hypervolume(np.array(points), np.array(reference), assume_pareto=True)
        values.append((time.perf_counter() - start) * 1e3)
    return 'exact hypervolume', values


def journal(objectives, dimensions, trials, rounds, folder, **_):
    storage = JournalStorage(JournalFileBackend(os.path.join(folder, 'optuna.log')))
    study = optuna.create_study(storage=storage, directions=['minimize'] * objectives, sampler=RandomSampler(seed=1))
    distributions, values, losses = space(dimensions), [], [0.5] * objectives
    for round in range(-1, rounds):
        start = time.perf_counter()
        for _ in range(trials):
            study.tell(study.ask(distributions), losses)
        if round >= 0:
            values.append(trials / (time.perf_counter() - start))
    return 'journal file, 1 process', values


def opened(place, rounds, **_):
    values = []
    for _ in range(rounds):
        start = time.perf_counter()
        study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(place)))
        assert len(study.get_trials(deepcopy=False)) > 0
        values.append(time.perf_counter() - start)
    return 'journal file', values


WHAT = {'sampler': sampler_blocks, 'survival': survival, 'hypervolume': volume, 'journal': journal, 'open': opened}
setting, values = WHAT[asked['what']](**asked)
print(json.dumps({'peer': f'Optuna {optuna.__version__} {setting}', 'values': values}))
