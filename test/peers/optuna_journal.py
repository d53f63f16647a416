"""Optuna reads and writes its journal log, for test/tune-optuna.test.ts: stdin {"do", "place", ...}, JSON on stdout.

tell     what Optuna makes of a log
write    a study with all that a log can hold, and what Optuna makes of it
go on    some more trials in a log's study, and what Optuna makes of it
"""
import json
import sys
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)


def text(value):
    """Numbers that JSON has no word for, as Python says them."""
    return value if isinstance(value, str) or value == value and abs(value) != float('inf') else str(value)


def told(study):
    return {
        'name': study.study_name, 'directions': [int(one) for one in study.directions],
        'metrics': study.metric_names, 'attributes': study.user_attrs,
        'best': [one.number for one in (study.best_trials if len(study.directions) > 1 else [study.best_trial])],
        'trials': [{
            'number': one.number, 'state': one.state.name, 'params': one.params,
            'values': None if one.values is None else [text(value) for value in one.values],
            'intermediate': [[step, text(value)] for step, value in sorted(one.intermediate_values.items())],
            'violations': list(one.constraints.values()), 'attributes': one.user_attrs,
            'distributions': {name: repr(distribution) for name, distribution in one.distributions.items()},
            'start': None if one.datetime_start is None else one.datetime_start.timestamp(),
            'end': None if one.datetime_complete is None else one.datetime_complete.timestamp(),
        } for one in study.trials],
    }


def objective(trial):
    x = trial.suggest_float('x', 1e-5, 0.1, log=True)
    y = trial.suggest_float('y', -1, 1, step=0.25)
    layers = trial.suggest_int('layers', 1, 4)
    width = trial.suggest_int('width', 8, 256, log=True)
    even = trial.suggest_int('even', 2, 10, step=2)
    kind = trial.suggest_categorical('kind', ['lstm', 'transformer'])
    if kind == 'transformer':
        trial.suggest_categorical('heads', [1, 2, 4])
    trial.suggest_categorical('flag', [True, False, None])
    trial.set_user_attr('seconds', 1.5 * trial.number)
    trial.set_user_attr('host', 'one')
    if trial.number == 3:
        raise RuntimeError('failed')
    for step in range(1, 4):
        trial.report(float('nan') if trial.number == 4 and step == 1 else x * step + y, step)
        if trial.number % 5 == 2 and step == 2:
            raise optuna.TrialPruned()
    trial.set_constraint('width', width - 200.0)
    trial.set_constraint('even', even - 9.0)
    return x + y * layers


def write(place):
    storage = JournalStorage(JournalFileBackend(place))
    other = optuna.create_study(study_name='other', storage=storage)
    other.optimize(lambda trial: trial.suggest_float('z', 0, 1), n_trials=3)
    optuna.delete_study(study_name='other', storage=storage)
    study = optuna.create_study(study_name='theirs', storage=storage, direction='maximize',
                                sampler=optuna.samplers.RandomSampler(seed=1))
    study.set_metric_names(['sharpe'])
    study.set_user_attr('who', 'test')
    optuna.create_study(study_name='two', storage=storage, directions=['minimize', 'maximize'],
                        sampler=optuna.samplers.RandomSampler(seed=2)).optimize(
        lambda trial: (trial.suggest_float('z', 0, 1), trial.suggest_int('k', 0, 3)), n_trials=5)
    study.enqueue_trial({'x': 0.01})
    study.optimize(objective, n_trials=20, catch=(RuntimeError,))
    study.add_trial(optuna.trial.create_trial(state=TrialState.COMPLETE, value=float('inf'), params={'x': 0.05},
                    distributions={'x': optuna.distributions.FloatDistribution(1e-6, 1, log=True)}))
    study.ask()
    study.enqueue_trial({'x': 0.02})
    return told(study)


asked = json.load(sys.stdin)
if asked['do'] == 'write':
    answer = write(asked['place'])
else:
    study = optuna.load_study(study_name=asked['name'], storage=JournalStorage(JournalFileBackend(asked['place'])),
                              sampler=optuna.samplers.TPESampler(seed=1, n_startup_trials=5))
    if asked['do'] == 'go on':
        distributions = dict(study.trials[0].distributions)
        for _ in range(asked['trials']):
            trial = study.ask(distributions)
            study.tell(trial, [0.5] * len(study.directions))
    answer = told(study)
print(json.dumps(answer))
