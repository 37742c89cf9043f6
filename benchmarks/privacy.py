"""Masking: texts/s on review-like texts, and time for 1 MB over time for 100 kB of hostile ones.

A ratio near 10 is linear. Run: python benchmarks/privacy.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ouvidor.storage import privacy

KEY = b"k" * 32
mask = privacy.mask.__wrapped__  # without its memory of the last texts
PLAIN = (
    "O produto chegou antes do prazo e bem embalado, só que a cor não era a do site. Falei com o "
    "atendimento no chat, foram educados e resolveram rápido. Recomendo a loja e volto a comprar."
)
ORDER = (
    "Comprei dia 12/08/2026, pedido 4471882093, paguei R$ 1.299,90 em 10x e até agora nada. "
    "Protocolo 20260815123456, falaram em 5 dias úteis e já passaram 23. Quero meu dinheiro já!"
)
PERSON = (
    "Meu cpf é 529.982.247-25 e o pedido 4471882093 sumiu, já mandei email de ana@correio.example "
    "e ninguém responde. Me liguem no (11) 98765-4321 ou 11 3456-7890, cep 01310-100, obrigada."
)
HOSTILE = {
    "one word": "a",
    "digits": "1",
    "digits with blanks": "1 ",
    "lists": "1,",
    "words": "x ",
    "dots": "a.",
    "at signs": "@",
    "addresses": "ana@correio.example ",
    "almost addresses": "a@b-",
    "phones": "11987654321 ",
    "phones, glued": "zap11987654321",
    "plates": "ABC-1234 ",
    "letters and digits": "a1",
    "brackets": "[cpf:123456]",
    "parentheses": "(",
    "accents in wrong order": "\u0301\u0323",
    "surrogates": "\ud800",
}


def seconds(work: Callable[[], object]) -> float:
    """The best of three."""
    took = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)


def main() -> None:
    """Print both tables."""
    for name, text in {"praise": PLAIN, "an order": ORDER, "a person": PERSON}.items():
        batch = [f"{text} {chr(97 + number % 26)}" for number in range(2000)]
        took = seconds(lambda batch=batch: [mask(each, KEY) for each in batch])
        print(f"{name:24} {len(text):4} characters {len(batch) / took:10,.0f} texts/s")
    for name, unit in HOSTILE.items():
        small, large = unit * (100_000 // len(unit)), unit * (1_000_000 // len(unit))
        one = seconds(lambda text=small: mask(text, KEY))
        ten = seconds(lambda text=large: mask(text, KEY))
        print(f"{name:24} 100 kB {one:7.3f} s   1 MB {ten:7.3f} s   ratio {ten / one:5.1f}")


if __name__ == "__main__":
    main()
