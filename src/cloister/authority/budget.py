"""How much one run may spend, beside what one execution may use (`cloister.limits`).

Owns nothing but the names that the rest of the package uses; what is behind them is in `authority.budgets`:
`dimension` names what is counted, `limits` how much there is and what follows when it is gone, `consumption` what an
act is expected to use or did use, `events` what there is to record, and `meter` counts, with the accounts of `ledger`.
"""

from cloister.authority.budgets.consumption import NOTHING, Consumption
from cloister.authority.budgets.dimension import MODEL_DIMENSIONS, Dimension
from cloister.authority.budgets.events import (
    BudgetAllocated,
    BudgetConsumed,
    BudgetEvent,
    BudgetExtended,
    BudgetSpent,
    BudgetWarned,
    Shortfall,
)
from cloister.authority.budgets.limits import BudgetLimits, BudgetRules, Exhaustion
from cloister.authority.budgets.meter import Budget
from cloister.authority.budgets.reservation import Reservation

__all__ = [
    "MODEL_DIMENSIONS",
    "NOTHING",
    "Budget",
    "BudgetAllocated",
    "BudgetConsumed",
    "BudgetEvent",
    "BudgetExtended",
    "BudgetLimits",
    "BudgetRules",
    "BudgetSpent",
    "BudgetWarned",
    "Consumption",
    "Dimension",
    "Exhaustion",
    "Reservation",
    "Shortfall",
]
