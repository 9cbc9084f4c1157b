"""Text files damaged in all the ways that a disk, an editor and an enemy have."""


def mutant(text, words, chance):
    """The text with one to five changes: of bits, bytes, words; cut, dropped, repeated, swapped."""
    content = bytearray(text.encode())
    for _ in range(chance.choice([1, 1, 2, 5])):
        at, size = chance.randrange(len(content) + 1), chance.choice([1, 2, 5, 20])
        kind = chance.choice(["bit", "byte", "word", "word", "cut", "swap", "drop", "repeat"])
        if kind == "bit" and at < len(content):
            content[at] ^= 1 << chance.randrange(8)
        elif kind == "byte" and at < len(content):
            content[at] = chance.randrange(256)
        elif kind == "word":
            content[at : at + chance.choice([0, 1, 3])] = chance.choice(words).encode()
        elif kind == "cut":
            del content[at:]
        elif kind == "drop":
            del content[at : at + size]
        elif kind == "repeat":
            content[at:at] = content[at : at + size] * chance.choice([1, 2, 50])
        else:
            other = chance.randrange(len(content) + 1)
            content[at : at + size] = content[other : other + size]
    return bytes(content)
