"""argon2id of C libargon2, by argon2-cffi: for each line of standard input, hashes once and prints the nanoseconds.

The line has memory in KiB and passes. One lane, 16 bytes of salt, 32 of output, as ours.
"""

import sys
import time

from argon2.low_level import Type, hash_secret_raw

for line in sys.stdin:
    memory, passes = map(int, line.split())
    started = time.perf_counter_ns()
    hash_secret_raw(b"correct horse battery staple", bytes(16), passes, memory, 1, 32, Type.ID)
    print(time.perf_counter_ns() - started, flush=True)
