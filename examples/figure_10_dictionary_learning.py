"""Figure 10: task-driven dictionary learning, with the table of areas under the ROC curve.

Ten atoms code a patient's gene expression; the codes predict the outcome. Atoms, weights and
intercept are learnt together, by Adam on the logistic loss, whose gradient in the atoms is the
implicit derivative of the sparse codes:

    loss, codes = task_loss(model, X, y, l1, l2, penalty=rho)

Protocol: random splits 60/20/20, regularisation chosen by the area on the validation part, refit on
training and validation, area on the test part. Baselines: logistic regression with an l1 and an l2
penalty on all genes, and on the codes of a dictionary that only reconstructs.

The paper's data (TCGA breast cancer; Rappoport and Shamir 2018) must be fetched:

    python examples/figure_10_dictionary_learning.py --expression exp --survival survival --full

Without them a stand-in is made, which is no reproduction: 299 samples of a sparse combination of
ten hidden profiles, of which the three weakest decide the outcome, in noisy genes. What can be seen
on it is that codes learnt for the task predict better than those of atoms that only reconstruct.
Logistic regression on all genes is ahead of both: the stand-in is linear, as patients are not.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 10 and
table 2.

    python examples/figure_10_dictionary_learning.py [-o figure_10.png] [--full]
"""

import argparse
import functools
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from simsens import plots
from simsens.learning.dictionary_learning import TaskModel, decision, task_loss
from simsens.learning.gene_expression import read_expression, read_survival, survival_task

try:
    import optax
    from sklearn.decomposition import DictionaryLearning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import train_test_split
except ModuleNotFoundError:
    raise SystemExit(
        "the baselines need scikit-learn and optax: pip install scikit-learn optax"
    ) from None

METHODS = ("logistic l1", "logistic l2", "dictionary + l2", "task-driven")
ATOMS, L2 = 10, 1.0
SPARSE = 0.5  # the share of codes that are to be zero


def stand_in(seed, samples=299, genes=1000):
    """Samples ``[n, p]`` and labels ``[n]``, 0 or 1, a third of them 1."""
    rng = np.random.default_rng(seed)
    profiles = rng.standard_normal((ATOMS, genes)) / np.sqrt(genes)
    strength = np.geomspace(30.0, 6.0, ATOMS)  # the outcome hangs on the weak ones
    codes = rng.exponential(size=(samples, ATOMS)) * (rng.random((samples, ATOMS)) < 0.5)
    values = (codes * strength) @ profiles + 0.35 * rng.standard_normal((samples, genes))
    score = codes[:, -3:] @ np.array([1.5, -1.5, 1.5]) + 0.5 * rng.standard_normal(samples)
    return values, (score > np.quantile(score, 2 / 3)).astype(int)


def standardised(train, *others):
    """All parts in the units of the training part."""
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-9
    return [(part - mean) / spread for part in (train, *others)]


def logistic(features, labels, penalty, c):
    """Scikit-learn's logistic regression, l1 or l2."""
    ratio = 1.0 if penalty == "l1" else 0.0
    model = LogisticRegression(C=c, l1_ratio=ratio, solver="liblinear", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says so where it stops at its limit
        return model.fit(features, labels)


def chosen(grid, fit, score):
    """The member of the grid whose fit scores best."""
    return max(grid, key=lambda value: score(fit(value)))


def by_genes(penalty, grid, train, valid, both, test):
    """Logistic regression on all genes."""

    def area(model, part):
        return roc_auc_score(part[1], model.decision_function(part[0]))

    best = chosen(grid, lambda c: logistic(*train, penalty, c), lambda m: area(m, valid))
    return area(logistic(*both, penalty, best), test)


def reconstruction(samples, seed):
    """Scikit-learn's dictionary for the samples: atoms of length one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = DictionaryLearning(
            ATOMS, alpha=2.0, max_iter=20, transform_algorithm="lasso_cd", random_state=seed
        ).fit(samples)
    return found.components_


@functools.partial(jax.jit, static_argnames=("steps", "learn"))
def adam(model, samples, labels, l1, rho, steps, learn):
    """Minimise the task loss; with ``learn`` false only the weights and the intercept."""
    optimiser = optax.adam(0.05)

    def loss(model, codes):
        fixed = (
            model if learn else model._replace(dictionary=jax.lax.stop_gradient(model.dictionary))
        )
        value, found = task_loss(
            fixed, samples, labels, l1, L2, penalty=rho, init=codes, tol=1e-4, maxiter=500
        )
        return value, found.value

    def step(carry, _):
        model, memory, codes = carry
        slope, codes = jax.grad(loss, has_aux=True)(model, codes)
        updates, memory = optimiser.update(slope, memory)
        return (optax.apply_updates(model, updates), memory, jax.lax.stop_gradient(codes)), None

    codes = jnp.zeros((len(samples), len(model.dictionary)))
    start = (model, optimiser.init(model), codes)
    return jax.lax.scan(step, start, length=steps)[0][0]


def by_codes(learn, steps, grid, atoms, train, valid, both, test):
    """Logistic regression on codes, whose atoms are learnt with it or not."""
    l1 = sparsity_weight(atoms, train[0])
    start = TaskModel(jnp.asarray(atoms), jnp.zeros(len(atoms)), jnp.zeros(()))

    def area(model, part):
        said, codes = decision(model, part[0], l1, L2, tol=1e-5)
        return roc_auc_score(part[1], said), float((codes.value == 0).mean())

    fit = lambda part: lambda rho: adam(start, *part, l1, rho, steps, learn)  # noqa: E731
    best = chosen(grid, fit(train), lambda model: area(model, valid)[0])
    return area(fit(both)(best), test)


def sparsity_weight(atoms, samples):
    """The l1 penalty that leaves about half of the codes zero at the start."""
    atoms = atoms / np.linalg.norm(atoms, axis=1)[:, None]
    return float(np.quantile(abs(samples @ atoms.T), SPARSE))


def one_split(samples, labels, seed, steps):
    """The four areas on the test part, and the share of zero codes of the last method."""
    rest = {"stratify": labels, "random_state": seed}
    X, X_test, y, y_test = train_test_split(samples, labels, test_size=0.2, **rest)
    X_train, X_valid, y_train, y_valid = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=seed
    )
    X_train, X_valid, X, X_test = standardised(X_train, X_valid, X, X_test)
    parts = ((X_train, y_train), (X_valid, y_valid), (X, y), (X_test, y_test))
    areas = [by_genes(kind, np.logspace(-4, 2, 7), *parts) for kind in ("l1", "l2")]
    atoms = reconstruction(X_train, seed)
    grid = np.array([1e-4, 1e-2])
    for learn in (False, True):
        area, zeros = by_codes(learn, steps, grid, atoms, *parts)
        areas.append(area)
    return areas, zeros


def main(output: Path, full: bool, expression: Path | None, survival: Path | None) -> None:
    """Run the splits, print the table, draw it, and write the numbers beside the figure."""
    if expression and survival:
        samples, labels = survival_task(read_expression(expression), read_survival(survival))
        source = "gene expression of the files given"
    else:
        samples, labels = stand_in(0, genes=1000 if full else 200)
        source = "a synthetic stand-in (the paper's data are not part of any package)"
    splits, steps = (10, 300) if full else (4, 60)
    print(
        f"{source}: {samples.shape[0]} samples, {samples.shape[1]} genes, {labels.mean():.2f} ill"
    )
    table = []
    for seed in range(splits):
        areas, zeros = one_split(samples, labels, seed, steps)
        table.append((seed, *areas, zeros))
    table = np.array(table)
    print(f"{splits} splits; area under the ROC curve in percent, mean +- 1.96 standard errors")
    for k, method in enumerate(METHODS, 1):
        area = 100 * table[:, k]
        print(f"{method:>16}  {area.mean():5.1f} +- {1.96 * area.std(ddof=1) / splits**0.5:.1f}")
    print(f"zero codes of the task-driven dictionary: {table[:, -1].mean():.2f}")
    plots.save(figure(100 * table[:, 1:-1], source), output)
    header = ",".join(("split", *METHODS, "zero codes"))
    np.savetxt(output.with_suffix(".csv"), table, "%.12g", ",", header=header, comments="")


def figure(areas: np.ndarray, source: str) -> Figure:
    """Each split a line through the four methods, their means as bars."""
    picture = Figure((6.8, 4.2), layout="constrained")
    ax = picture.add_subplot()
    place = np.arange(len(METHODS))
    for k, colour in zip(place, (1, 4, 0, 2)):
        ax.bar(k, areas[:, k].mean(), 0.62, color=plots.COLOURS[colour], alpha=0.85, zorder=1)
    ax.plot(place, areas.T, color=plots.GREY, lw=0.8, marker="o", ms=3, alpha=0.8, zorder=2)
    mean, error = areas.mean(axis=0), 1.96 * areas.std(axis=0, ddof=1) / len(areas) ** 0.5
    ax.errorbar(place, mean, error, fmt="none", ecolor=plots.INK, capsize=5, lw=1.4, zorder=3)
    ax.set_xticks(place, METHODS)
    ax.set_ylim(max(0, areas.min() - 5), 100)
    ax.set_ylabel("area under the ROC curve, percent")
    ax.set_title(f"{source}; a grey line is a split", loc="left", fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=9)
    return picture


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("figure_10.png"))
    parser.add_argument("--full", action="store_true", help="10 splits, 1,000 genes")
    parser.add_argument("--expression", type=Path, help="table of genes by samples")
    parser.add_argument("--survival", type=Path, help="table of patients, days and deaths")
    given = parser.parse_args()
    if (given.expression is None) != (given.survival is None):
        parser.error("--expression and --survival belong together")
    main(given.output, given.full, given.expression, given.survival)
