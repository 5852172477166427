"""Philox4x32-10 in NumPy, and how the engine uses it: the oracle of all that draws."""

import numpy as np

WORD = np.uint64(2**32 - 1)
HALF = np.uint64(32)


def philox(counter, key):
    """Four numbers of 32 bits for each counter of four: (..., 4), from a key of two. As Random123 publishes it."""
    x = [np.uint64(1) * column for column in np.moveaxis(np.asarray(counter, np.uint64), -1, 0)]
    k = [int(number) for number in key]
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * x[0], np.uint64(0xCD9E8D57) * x[2]
        x = [(b >> HALF) ^ x[1] ^ np.uint64(k[0]), b & WORD, (a >> HALF) ^ x[3] ^ np.uint64(k[1]), a & WORD]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return np.stack(x, -1)


def words(seed, index, op):
    """The four numbers of an index, of the op that draws as number `op`, from 1; 0 stands for a module's own seed."""
    index = np.asarray(index, np.uint64)
    counter = [index & WORD, index >> HALF, np.full_like(index, op), np.zeros_like(index)]
    return philox(np.stack(counter, -1), (seed % 2**32, seed >> 32))


def drawn(seed, shape, op=1):
    """The numbers of an array's elements: of each eight counters, words 0 and 1 of each, then words 2 and 3."""
    size = int(np.prod(shape))
    groups = -(-size // 32)
    numbers = words(seed, np.arange(8 * groups), op).reshape(groups, 8, 2, 2)
    return numbers.swapaxes(1, 2).ravel()[:size].reshape(shape)
