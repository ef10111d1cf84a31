"""Elementary functions as straight-line arithmetic that the compiler turns into vector code.

Each is written for one element, without branches (choices are selects), tables or library calls, once per dtype. So a
loop over it runs at vector speed, and no libm is involved. Kernels call the public names (`exp`, `log`, ...), for which
the compiler puts the variant of the program's dtype.

    exp, expm1   e^x = 2^k·e^r with k = round(x/ln 2), |r| <= ln(2)/2, and e^r a polynomial (Cody and Waite 1980)
    log          x = 2^k·m with m in [√½, √2); log m a polynomial (Cephes logf) or its atanh series (fdlibm e_log)
    log1p_exp    log(1 + e^x) = max(x, 0) + 2 atanh(u/(2 + u)) with u = e^-|x|
    sigmoid      1/(1 + e^-x), as e^x/(1 + e^x) for x < 0
    tanh         t/(t + 2) with t = e^2|x| - 1, and the sign of x
    erf          x·P(x²) for |x| < 1, beyond it 1 - exp(-Q(|x|)) with Q a polynomial for -log erfc

Coefficients are minimax fits in relative error (Remez exchange, 60 digits), good to a small part of a unit in the last
place (ulp). Rounding adds 1 to 3 ulp, measured in `tests/native/test_vecmath.py`. NaN gives NaN, overflow infinity, and
underflow passes through the subnormal numbers to zero.

The compiler may reassociate sums in kernels, which would turn (a - b) + c into a - (b - c) and lose what c corrects.
Sums whose order matters pass through `_fixed`, a select that never acts, which no rule for sums can cross.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from chainrule.native.kernel import device

F = TypeVar("F", bound=Callable[[Any], Any])


@dataclass(frozen=True)
class Variants:
    """A function of one real number, as written for float32 and for float64."""

    float32: Callable[[Any], Any]
    float64: Callable[[Any], Any]

    def __call__(self, x: Any) -> Any:
        """The value in plain Python, in the dtype of x; a Python number counts as float64."""
        with np.errstate(all="ignore"):  # infinities and wrapped integers on the way are part of the method
            return self.float32(x) if isinstance(x, np.float32) else self.float64(np.float64(x))


def compiled_as(form: Variants) -> Callable[[F], F]:
    """Decorator of a function of arrays, written with NumPy: what the compiler puts for it, element by element."""

    def mark(function: F) -> F:
        vars(function).update(vars(form))
        return function

    return mark


# Of e^r: log2 e; ln 2 in two parts, the first of few bits, so that k times it is exact; and the polynomial q in
# e^r = 1 + r + r²·q.
LOG2E = 1.4426950408889634
LN2_32 = (0.693359375, -2.12194440e-4)
EXP_32 = (0.49999994, 0.1666652, 0.041668393, 0.008368798, 0.0013814514)
LN2_64 = (6.93147180369123816490e-01, 1.90821492927058770002e-10)
EXP_64 = (
    0.5000000000000011, 0.1666666666666641, 0.04166666666652894, 0.00833333333349593, 0.0013888888943997962,
    0.0001984126950427774, 2.480149267645704e-05, 2.755758761242481e-06, 2.7630412015658354e-07, 2.499993324481517e-08,
)  # fmt: skip


@device
def _fixed32(x: Any) -> Any:
    return x if x < 3e38 else np.float32(3e38)


@device
def _split32(z: Any) -> Any:
    """(k, p) with e^z = 2^k·(1 + p)."""
    k = np.floor(z * LOG2E + 0.5)
    r = _fixed32(z - k * LN2_32[0]) - k * LN2_32[1]
    q = EXP_32[2] + r * (EXP_32[3] + r * EXP_32[4])
    q = EXP_32[0] + r * (EXP_32[1] + r * q)
    return k, r + r * r * q


@device
def _exp32(x: Any) -> Any:
    z = x if x > -104.0 else np.float32(-104.0)  # NaN as well, so that k is a number
    k, p = _split32(z if z < 89.0 else np.float32(89.0))
    # 2^k in two factors, the first added to the exponent bits: the second may overflow, or round to a subnormal number.
    up = k > 0.0
    first = np.int32(k) + (np.int32(-1) if up else np.int32(32))
    bits = np.float32(1.0 + p).view(np.int32) + (first << np.int32(23))
    y = np.int32(bits).view(np.float32) * (np.float32(2.0) if up else np.float32(2.0**-32))
    return y if x == x else x


@device
def _expm1_32(x: Any) -> Any:
    z = x if x > -50.0 else np.float32(-50.0)
    k, p = _split32(z if z < 89.0 else np.float32(89.0))
    top = k > 127.0  # 2^128 is no float32: double at the end
    exponent = np.int32(k) + (np.int32(126) if top else np.int32(127))
    power = np.int32(exponent << np.int32(23)).view(np.float32)
    y = (power * p + _fixed32(power - 1.0)) * (np.float32(2.0) if top else np.float32(1.0))
    return y if x == x else x


@device
def _log32(x: Any) -> Any:
    small = x < 1.17549435e-38  # subnormal: bring it among the normal numbers
    root = np.int32(0x3F3504F3)  # bits of √½
    bits = np.float32(x * (np.float32(2.0**23) if small else np.float32(1.0))).view(np.int32) - root
    k = np.float32(np.int32(bits >> np.int32(23))) - (np.float32(23.0) if small else np.float32(0.0))
    f = np.int32((bits & np.int32(0x7FFFFF)) + root).view(np.float32) - 1.0
    q = 0.14181186 + f * (-0.13128725 + f * (0.12881677 + f * -0.07859719))
    q = 0.33333316 + f * (-0.2500081 + f * (0.20002286 + f * (-0.16624556 + f * q)))
    y = k * 0.693359375 + _fixed32(f - f * f * (0.5 - f * q) - k * 2.12194440e-4)
    y = y if x < np.float32(np.inf) else x
    return y if x > 0.0 else (np.float32(-np.inf) if x == 0.0 else np.float32(np.nan))


@device
def _log1p_exp32(x: Any) -> Any:
    u = _exp32(-abs(x))
    s = u / (2.0 + u)
    z = s * s
    q = 0.66666412 + z * (0.40021703 + z * (0.27999103 + z * 0.28024632))
    return (x if x > 0.0 else np.float32(0.0)) + (u - s * (u - z * q))


@device
def _sigmoid32(x: Any) -> Any:
    u = _exp32(-abs(x))
    return (u if x < 0.0 else np.float32(1.0)) / (1.0 + u)


@device
def _tanh32(x: Any) -> Any:
    a = 2.0 * abs(x)
    t = _expm1_32(np.float32(40.0) if a > 40.0 else a)
    y = t / (t + 2.0)
    return -y if x < 0.0 else y


@device
def _erf32(x: Any) -> Any:
    z = x * x
    near = -0.026853811 + z * (0.0051883273 + z * (-0.00080101896 + z * 7.853848e-05))
    near = x + x * (0.12837917 + z * (-0.37612626 + z * (0.11283585 + z * near)))
    t = np.float32(4.0) if abs(x) > 4.0 else abs(x)
    far = 0.1041136 + t * (-0.02231516 + t * (0.0030654722 + t * -0.0001982173))
    far = 1.0 - _exp32(-(0.0001664481 + t * (1.1277972 + t * (0.6369761 + t * far))))
    return near if abs(x) < 0.95 else (-far if x < 0.0 else far)


@device
def _fixed64(x: Any) -> Any:
    return x if x < 1e308 else np.float64(1e308)


@device
def _split64(z: Any) -> Any:
    """(k, p) with e^z = 2^k·(1 + p)."""
    k = np.floor(z * LOG2E + 0.5)
    r = _fixed64(z - k * LN2_64[0]) - k * LN2_64[1]
    q = EXP_64[6] + r * (EXP_64[7] + r * (EXP_64[8] + r * EXP_64[9]))
    q = EXP_64[3] + r * (EXP_64[4] + r * (EXP_64[5] + r * q))
    q = EXP_64[0] + r * (EXP_64[1] + r * (EXP_64[2] + r * q))
    return k, r + r * r * q


@device
def _exp64(x: Any) -> Any:
    z = x if x > -746.0 else np.float64(-746.0)
    k, p = _split64(z if z < 710.0 else np.float64(710.0))
    up = k > 0.0
    first = np.int64(np.int32(k)) + (np.int64(-1) if up else np.int64(64))  # by int32: AVX2 converts no int64
    bits = np.float64(1.0 + p).view(np.int64) + (first << np.int64(52))
    y = np.int64(bits).view(np.float64) * (np.float64(2.0) if up else np.float64(2.0**-64))
    return y if x == x else x


@device
def _expm1_64(x: Any) -> Any:
    z = x if x > -50.0 else np.float64(-50.0)
    k, p = _split64(z if z < 710.0 else np.float64(710.0))
    top = k > 1023.0
    exponent = np.int64(np.int32(k)) + (np.int64(1022) if top else np.int64(1023))
    power = np.int64(exponent << np.int64(52)).view(np.float64)
    y = (power * p + _fixed64(power - 1.0)) * (np.float64(2.0) if top else np.float64(1.0))
    return y if x == x else x


@device
def _log64(x: Any) -> Any:
    small = x < 2.2250738585072014e-308
    root = np.int64(0x3FE6A09E667F3BCD)  # bits of √½
    bits = np.float64(x * (np.float64(2.0**52) if small else np.float64(1.0))).view(np.int64) - root
    k = np.float64(np.int32(bits >> np.int64(52))) - (np.float64(52.0) if small else np.float64(0.0))
    f = np.int64((bits & np.int64(0xFFFFFFFFFFFFF)) + root).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    q = 0.22222198573071442 + z * (0.18183564332605773 + z * (0.15314050379955124 + z * 0.147959514690742))
    q = z * (0.6666666666666734 + z * (0.3999999999941468 + z * (0.2857142874238837 + z * q)))
    half = 0.5 * f * f
    y = k * 6.93147180369123816490e-01 + _fixed64(f - (half - s * (half + q)) + k * 1.90821492927058770002e-10)
    y = y if x < np.float64(np.inf) else x
    return y if x > 0.0 else (np.float64(-np.inf) if x == 0.0 else np.float64(np.nan))


@device
def _log1p_exp64(x: Any) -> Any:
    u = _exp64(-abs(x))
    s = u / (2.0 + u)
    z = s * s
    q = 0.1330097353258687 + z * (0.1210608627677065 + z * (0.08340102841661455 + z * 0.17018570784185627))
    q = 0.2222222396975263 + z * (0.18181743924319033 + z * (0.1538655993154406 + z * q))
    q = 0.6666666666666631 + z * (0.40000000000157243 + z * (0.2857142854785357 + z * q))
    return (x if x > 0.0 else np.float64(0.0)) + (u - s * (u - z * q))


@device
def _sigmoid64(x: Any) -> Any:
    u = _exp64(-abs(x))
    return (u if x < 0.0 else np.float64(1.0)) / (1.0 + u)


@device
def _tanh64(x: Any) -> Any:
    a = 2.0 * abs(x)
    t = _expm1_64(np.float64(40.0) if a > 40.0 else a)
    y = t / (t + 2.0)
    return -y if x < 0.0 else y


@device
def _erf64(x: Any) -> Any:
    z = x * x
    near = -1.6206314146064028e-07 + z * (1.3710982127039678e-08 + z * -7.779471692267398e-10)
    near = -1.4924712305189893e-05 + z * (1.6447131617748237e-06 + z * near)
    near = -0.0008548325929316656 + z * (0.0001205529357702147 + z * near)
    near = 0.11283791670944185 + z * (-0.02686617064311147 + z * (0.005223977606118481 + z * near))
    near = x + x * (0.12837916709551256 + z * (-0.3761263890318352 + z * near))
    t = np.float64(6.0) if abs(x) > 6.0 else abs(x)
    far = -1.0257094933611485e-09 + t * (4.796094430916994e-11 + t * -1.0496375445045838e-12)
    far = 8.505756514804003e-07 + t * (-1.2570534030657623e-07 + t * (1.3626777574653848e-08 + t * far))
    far = -4.5037512715245534e-05 + t * (1.6513967550226854e-05 + t * (-4.3270474262770705e-06 + t * far))
    far = -0.0006411708919501251 + t * (4.48214088281999e-05 + t * (7.03670896780959e-05 + t * far))
    far = -0.019078157693073965 + t * (-0.00028048612186729125 + t * (0.0017689982559323007 + t * far))
    far = 1.1283773293831223 + t * (0.6366284883856301 + t * (0.10274725358337428 + t * far))
    far = 1.0 - _exp64(-(1.7960787496634092e-07 + t * far))
    return near if abs(x) < 1.0 else (-far if x < 0.0 else far)


exp = Variants(_exp32, _exp64)
expm1 = Variants(_expm1_32, _expm1_64)
log = Variants(_log32, _log64)
log1p_exp = Variants(_log1p_exp32, _log1p_exp64)
sigmoid = Variants(_sigmoid32, _sigmoid64)
tanh = Variants(_tanh32, _tanh64)
erf = Variants(_erf32, _erf64)


@device
def _where(condition: Any, a: Any, b: Any) -> Any:
    return a if condition else b


@device
def _maximum(a: Any, b: Any) -> Any:
    larger = b if a < b else a  # a NaN in a is kept
    return b if b != b else larger


@device
def _minimum(a: Any, b: Any) -> Any:
    smaller = b if a > b else a
    return b if b != b else smaller


# What the compiler puts for functions of NumPy; others (np.sqrt) become instructions without help.
NUMPY = {
    "abs": abs,
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "maximum": _maximum,
    "minimum": _minimum,
    "tanh": tanh,
    "where": _where,
}
