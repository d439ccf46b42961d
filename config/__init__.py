"""What analysts edit, the frozen models that check it, and the error that every room raises."""

import os

from config.errors import ENVIRONMENT, ConfigError, EarshotError, Mistake
from config.files import refuse_irregular, refuse_stray

# The matrices here are small. Threads that wait for each other made them thirty times slower on a busy machine, and how
# many there are is read once, when numpy is first imported: after this package, which everything imports first.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
