"""Optuna's TPE on one objective: python tune_regret.py Branin 20 [1000] prints best losses less the optimum after 30, 50,
100 and 200 trials, a row for each of 20 seeds from 1000 (else 0) on."""
import json
import math
import sys
import numpy as np
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
A = np.array([[10, 3, 17, 3.5, 1.7, 8], [.05, 10, 17, .1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, .05, 10, .1, 14]])
P = 1e-4 * np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
                     [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])


def hartmann6(trial):
    x = np.array([trial.suggest_float(f"x{k}", 0, 1) for k in range(6)])
    return -float(np.array([1, 1.2, 3, 3.2]) @ np.exp(-(A * (x - P) ** 2).sum(axis=1)))


def branin(trial):
    x, y = trial.suggest_float("x0", -5, 10), trial.suggest_float("x1", 0, 15)
    bowl = y - 5.1 / (4 * math.pi ** 2) * x * x + 5 / math.pi * x - 6
    return bowl ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


objective, best = {"Branin": (branin, 0.397887357729738), "Hartmann6": (hartmann6, -3.322368011415515)}[sys.argv[1]]
rows, first = [], int(sys.argv[3]) if len(sys.argv) > 3 else 0
for seed in range(first, first + int(sys.argv[2])):
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=200)
    regrets = np.minimum.accumulate([trial.value for trial in study.trials]) - best
    rows.append([regrets[k - 1] for k in (30, 50, 100, 200)])
print(json.dumps(rows))
