"""Rows [exponent, dropout, layers, kind, value] on stdin to Optuna's fANOVA shares, as JSON."""
import json
import sys
import warnings

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)
spaces = {"rate": FloatDistribution(-5, -1), "dropout": FloatDistribution(0, 0.6), "layers": FloatDistribution(1, 4),
          "kind": CategoricalDistribution(["a", "b", "c"])}
study = optuna.create_study()
for *point, value in json.load(sys.stdin):
    study.add_trial(optuna.trial.create_trial(params=dict(zip(spaces, point)), distributions=spaces, value=value))
found = optuna.importance.get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0), normalize=False)
print(json.dumps([float(found[name]) for name in spaces]))
