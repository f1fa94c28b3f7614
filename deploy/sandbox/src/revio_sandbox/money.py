"""Amounts on the wire: integers of minor units, ISO 4217 codes, totals and fees."""

from decimal import ROUND_HALF_UP, Decimal

# ISO 4217 currencies in circulation; metals, funds and test codes are left out.
_CODES = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN"
    " BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL"
    " GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF"
    " KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN"
    " MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD"
    " SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH"
    " UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG"
)
CURRENCIES = frozenset(_CODES.split())
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
DECIMALS = dict.fromkeys(_NO_DECIMALS.split(), 0) | dict.fromkeys(_THREE_DECIMALS.split(), 3)


def line_total(*, price: int, quantity: Decimal, discount: int, tax_percent: Decimal) -> int:
    """Return `(price * quantity - discount) * (1 + tax_percent / 100)`, rounded half up.

    Source: revio-api, section 3.1.
    """
    net = price * quantity - discount
    return int((net * (1 + tax_percent / 100)).quantize(Decimal(1), ROUND_HALF_UP))


def percentage(amount: int, percent: Decimal) -> int:
    """Return `percent` of `amount`, rounded half up to a whole minor unit."""
    return int((amount * percent / 100).quantize(Decimal(1), ROUND_HALF_UP))


def display(amount: int, currency: str) -> str:
    """Return an amount for people, such as `R 1 250.00` or `12.500 KWD`."""
    decimals = DECIMALS.get(currency, 2)
    text = f"{Decimal(amount).scaleb(-decimals):,.{decimals}f}".replace(",", "\u00a0")
    return f"R\u00a0{text}" if currency == "ZAR" else f"{text}\u00a0{currency}"
