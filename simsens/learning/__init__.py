r"""Data meet calculus: learning problems whose solutions are differentiable in all that they see.

====================== ==================================================== ==================
module                 problem                                              derivative
====================== ==================================================== ==================
ridge                  squares, l2 penalty                                  Cholesky
lasso                  squares, l1 and l2 penalties                         on the support
support_margin         how far the support of a lasso stays
logistic               multiclass logistic regression                       the smaller side
svm                    multiclass machine of Crammer and Singer             on the face
kernel_svm             binary machine with an intercept                     on the face
distillation           a few images that teach what a set teaches           through the fit
dictionary_learning    sparse codes, and a dictionary for a task            sample by sample
idx, gene_expression   readers of MNIST's format and of expression tables
====================== ==================================================== ==================
"""

from simsens.learning.dictionary_learning import TaskModel, decision, sparse_codes, task_loss
from simsens.learning.distillation import Distilled, distill, distilled_loss
from simsens.learning.gene_expression import (
    Expression,
    read_expression,
    read_survival,
    survival_task,
)
from simsens.learning.idx import read_idx
from simsens.learning.kernel_svm import kernel_svm
from simsens.learning.lasso import elastic_net, lasso, weighted_lasso
from simsens.learning.logistic import logistic_loss, multiclass_logistic
from simsens.learning.ridge import ridge
from simsens.learning.support_margin import support_margin
from simsens.learning.svm import multiclass_kernel_svm, multiclass_svm, primal_weights

__all__ = [
    "Distilled",
    "Expression",
    "TaskModel",
    "decision",
    "distill",
    "distilled_loss",
    "elastic_net",
    "kernel_svm",
    "lasso",
    "logistic_loss",
    "multiclass_kernel_svm",
    "multiclass_logistic",
    "multiclass_svm",
    "primal_weights",
    "read_expression",
    "read_idx",
    "read_survival",
    "ridge",
    "sparse_codes",
    "support_margin",
    "survival_task",
    "task_loss",
    "weighted_lasso",
]
