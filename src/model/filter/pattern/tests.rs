use proptest::prelude::*;

use super::translator::translate;
use super::*;

fn finds(pattern: &str, options: &str, text: &str) -> bool {
    let compiled = Pattern::new(pattern, options).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    compiled.finds(text).unwrap()
}

/// Pattern, options, texts in which it is found, texts in which it is not.
type Row = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

#[test]
fn patterns_match_as_in_pcre() {
    let table: &[Row] = &[
        // Escaped signs stand for themselves.
        (r"\<b\>", "", &["a<b>c"], &["a b c"]),
        (r"^\-\_\~\&\#\ \/\@\é$", "", &["-_~&# /@é"], &["a"]),
        (r"a\.b\+\(\)", "", &["a.b+()"], &["axb+()"]),
        (r"\y", "", &["y"], &["x"]),
        // By number, and by name.
        (r"^\x41\x{42}\103\o{104}\x$", "", &["ABCD\0"], &["ABCD"]),
        (r"^\cI\t\e\a\f\0\07$", "", &["\t\t\x1B\x07\x0C\0\x07"], &["I"]),
        (r"^\x{1F600}$", "", &["😀"], &["x"]),
        (r"^[\x41-\x{43}\cI\101\b]+$", "", &["ABC\tA\x08"], &["D", "b"]),
        // ASCII alone, without and within classes.
        (r"^\w+$", "", &["aZ_9"], &["é", "٣"]),
        (r"^\d$", "", &["5"], &["٣"]),
        (r"^\s+$", "", &[" \t\n\x0B\x0C\r"], &["\u{A0}", "\u{2003}"]),
        (r"^\W\D\S$", "", &["éé\u{A0}"], &["aéé", "é5é", "éé "]),
        (r"^[\w.]+$", "", &["a.b"], &["é"]),
        (r"^[^\w]+$", "", &["é-"], &["a"]),
        (r"^[\W]+$", "", &["é-"], &["a"]),
        (r"^[\D\d]$", "", &["5", "é"], &[]),
        (
            r"\bcafe\b",
            "",
            &["a cafe", "cafeé", "écafe"],
            &["xcafe", "cafe1"],
        ),
        (r"caf\B.", "", &["cafe"], &["caf-"]),
        (r"\Bé", "", &[" é", "éé"], &["aé"]),
        (r"^[[:alpha:]][[:^digit:]]$", "", &["ab", "aé"], &["éb", "a1"]),
        (r"^[[:punct:]]+$", "", &["!/:@[`{~"], &["a", "é"]),
        (r"^[[:upper:][:digit:]-]+$", "", &["A1-"], &["a"]),
        // Blanks and line ends.
        (
            r"^a\hb\h$",
            "",
            &["a b\t", "a\u{A0}b\u{3000}"],
            &["a\nb ", "aabf"],
        ),
        (r"^\H+$", "", &["abf\n"], &["a b"]),
        (r"^[\h]+[^\h]$", "", &[" \ta"], &["a"]),
        (r"^\v\V$", "", &["\na", "\u{2028}a"], &["v\n"]),
        (r"^a\Rb$", "", &["a\r\nb", "a\nb", "a\u{85}b"], &["a\n\nb", "aRb"]),
        (r"^a\Nb$", "s", &["axb"], &["a\nb"]),
        // Signs that mean nothing within a class.
        (r"^[[a]+$", "", &["[a"], &["]"]),
        (r"^[a&&b]+$", "", &["a&b"], &["c"]),
        (r"^[a~~b]+$", "", &["a~b"], &["c"]),
        (r"^[+--]+$", "", &["+,-"], &["."]),
        (r"^[a-]+[-b]+[]c]+[^]]$", "", &["a--b]cx"], &["a--b]c]"]),
        (r"^[\d-z]+$", "", &["1-z"], &["y"]),
        (r"^[a-\d]+$", "", &["a-1"], &["b"]),
        (r"^[\Qa-c]\E]+$", "", &["a-]"], &["b"]),
        (r"^[a\]b\-\\]+$", "", &[r"a]b-\"], &["c"]),
        (r"^[[:x]+$", "", &["[:x"], &["y"]),
        ("^[ #]+$", "x", &[" #"], &[""]),
        // Where the text ends.
        ("a$", "", &["a", "a\n"], &["a\n\n", "ab", "a\nb"]),
        ("a$|b$", "", &["a\n", "b\n"], &["a\nc"]),
        ("(a$)\n", "", &["a\n"], &["a"]),
        ("(?:a|b$)", "", &["b\n"], &["bc"]),
        ("a$", "m", &["a\nb"], &["ab"]),
        (r"a\Z", "m", &["a", "a\n"], &["a\n\n", "a\nb"]),
        (r"a\z", "", &["a"], &["a\n"]),
        (r"\Aa|\Gb", "m", &["a", "b"], &["x\na"]),
        ("^b", "m", &["b", "a\nb"], &["ab"]),
        ("^$", "m", &["", "a\n\nb"], &["a\n"]),
        // Letter case.
        ("É", "i", &["é"], &["e"]),
        (r"^[a-c\W]+$", "i", &["ABC-"], &["s", "k", "K1"]),
        (r"^[^a-c\W]+$", "i", &["de"], &["B", "-"]),
        (r"^[[:upper:]]+$", "i", &["ab"], &["1"]),
        (r"^\w$", "i", &["S"], &["\u{17F}", "\u{212A}"]),
        (r"^\p{Lu}$", "i", &["A", "É"], &["a"]),
        ("(?i)a(?-i)b", "", &["Ab", "ab"], &["AB"]),
        ("(?i:a)b", "", &["Ab"], &["AB"]),
        ("x(?i)a|b", "", &["B", "xA"], &["XA"]),
        ("(?s)a.b(?-s).", "", &["a\nbc"], &["a\nb\n"]),
        ("(?m)^b(?-m)$", "", &["a\nb"], &["a\nb\nc"]),
        // Properties.
        (r"^\p{Han}+\pL\P{N}\p{^L}$", "", &["中文xa1"], &["a"]),
        (r"^[\p{Lu}\PL]+$", "", &["A1"], &["a"]),
        (r"^\p{L&}\p{Xwd}$", "", &["aé"], &["中é"]),
        // Braces that repeat nothing.
        ("^a{,2}$", "", &["a{,2}"], &["a", "aa"]),
        ("^{a}{2}x{1,}{", "", &["{a}}x{"], &["{aa}x{"]),
        // Repetition.
        ("^a{2}b{1,2}?c++d*?$", "", &["aabbccd"], &["abc"]),
        ("^(?>a+)a", "", &[], &["aaa"]),
        // References.
        (r"^(a|b)\1$", "", &["aa", "bb"], &["ab"]),
        (
            r"^(?<x>a|b)(?P<y>c)\k<x>\k{y}(?P=x)\g{-1}\g1\g{y}\k'x'$",
            "",
            &["acacacaca"],
            &["acbc"],
        ),
        (r"^(a)\12$", "", &["a\n"], &["a2"]),
        (r"^(a)\1{2}2$", "", &["aaa2"], &["aa2"]),
        // Comments and blanks.
        ("^a(?# b )*c$", "", &["aac", "c"], &["ab"]),
        ("^ a b # c\n *\\ [ ]d$", "x", &["a  d", "abb  d"], &["a b d"]),
        (r"^(a) \1 2 $", "x", &["aa2"], &["a\n"]),
        (r"(?x) a b (?-x) c", "", &["ab c"], &["abc"]),
        // What is looked around for.
        ("^((?!x).)*$", "", &["abc", ""], &["axc"]),
        (r"(?<=\d)a(?<!b)", "", &["1a"], &["xa"]),
        (r"foo\Kbar", "", &["foobar"], &["bar"]),
        (r"(*UTF8)^é", "", &["é"], &["e"]),
        // Quotes.
        (r"\Qa.b\E.", "", &["a.bc"], &["axbc"]),
        (r"\Q\d", "", &[r"\d"], &["1"]),
        (r"ab\Q\E*c\E", "", &["ac"], &["b"]),
        ("\\Q \t#\\E", "x", &[" \t#"], &[""]),
    ];
    for (pattern, options, found, missed) in table {
        for text in *found {
            assert!(finds(pattern, options, text), "/{pattern}/{options} in {text:?}");
        }
        for text in *missed {
            assert!(
                !finds(pattern, options, text),
                "/{pattern}/{options} not in {text:?}"
            );
        }
    }
}

#[test]
fn unsupported_syntax_is_refused_with_reason() {
    for (pattern, reason) in [
        ("(?|a|b)", "count their alternatives"),
        ("(a)?(?(1)b|c)", "conditions"),
        ("a(*SKIP)b", "verbs"),
        ("a(?R)?", "called"),
        ("(?<x>a)(?&x)", "called"),
        (r"(a)\g<1>", "called|call of a group"),
        (r"\X", r"\X"),
        ("(?z)", "(?z"),
        ("(a", "a ( has no )"),
        ("a)", "a ) has no ("),
        ("[a", "a [ has no ]"),
        ("[]", "a [ has no ]"),
        ("[z-a]", "out of order"),
        ("[[:nothing:]]", "not a character class"),
        (r"\p{}", "not a property"),
        ("*a", "nothing"),
        ("a**", "follows a quantifier"),
        ("a{2}{3}", "follows a quantifier"),
        ("(|*)", "nothing"),
        ("a\\", "at the end"),
        (r"\k<x>", "no group 'x'"),
        (r"\x{110000}", "not the number"),
        ("(?<x>a)(?<x>b)", "two groups"),
    ] {
        let error = Pattern::new(pattern, "").unwrap_err();
        assert_eq!(error.code, ErrorCode::INVALID_JSON, "{pattern}");
        assert!(
            reason.split('|').any(|reason| error.message.contains(reason)),
            "{pattern}: {}",
            error.message
        );
    }
    let deep = format!("{}a{}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(Pattern::new(&deep, "").is_err());
}

#[test]
fn literal_prefix_is_recognized() {
    for (pattern, options, prefix) in [
        ("^ab", "", Some("ab")),
        (r"\Aab", "", Some("ab")),
        (r"^\Qa.b\E", "", Some("a.b")),
        (r"^\Qa|b\E", "", Some("a|b")),
        (r"^a\.b\x41", "", Some("a.bA")),
        (r"^a\Qb\E\\E\Qc\E", "", Some(r"ab\Ec")),
        ("^ab.c", "", Some("ab")),
        ("^ab(c|d)", "", Some("ab")),
        ("^ab$", "", Some("ab")),
        ("^ab?", "", Some("a")),
        ("^ab*", "", Some("a")),
        ("^ab+c", "", Some("a")),
        ("^ab{0}", "", Some("a")),
        ("^ab{,2}", "", Some("ab{,2}")),
        (r"^ab\E*", "", Some("a")),
        (r"^ab\Q\E*", "", Some("a")),
        ("^ab(?#c)*", "", Some("a")),
        ("^a b #c\n *", "x", Some("a")),
        ("^ab(?i)c", "", Some("ab")),
        ("^ab", "s", Some("ab")),
        ("^é中", "", Some("é中")),
        ("^a?", "", None),
        ("^ab|c", "", None),
        ("^ab", "i", None),
        ("^ab", "m", None),
        ("(?i)^ab", "", None),
        ("^(ab)", "", None),
        ("^*ab", "", None),
        (r"\A?ab", "", None),
        ("^^*ab", "", None),
        ("ab", "", None),
        ("^", "", None),
        ("", "", None),
    ] {
        let compiled = Pattern::new(pattern, options).unwrap();
        assert_eq!(compiled.prefix(), prefix, "/{pattern}/{options}");
    }
}

/// Pieces of patterns, of which nonsense is made that is nearly sense.
const PIECES: [&str; 62] = [
    "^",
    "$",
    "|",
    "(",
    ")",
    "(?:",
    "(?i)",
    "(?x-i:",
    "(?=",
    "(?<!",
    "[",
    "[^",
    "]",
    "-",
    "&&",
    "~~",
    "[:alpha:]",
    "\\",
    "\\Q",
    "\\E",
    "\\b",
    "\\B",
    "\\w",
    "\\W",
    "\\s",
    "\\h",
    "\\R",
    "\\K",
    "\\cI",
    "\\o{141}",
    "\\x{62}",
    "\\x",
    "\\1",
    "\\0",
    "\\p{L}",
    "\\P",
    "{",
    "}",
    "{2}",
    "{1,",
    "*",
    "+",
    "?",
    ".",
    "#",
    " ",
    "\n",
    "a",
    "b",
    "ab",
    "A",
    "é",
    "0",
    "1",
    ",",
    ":",
    "(?<n>",
    "\\k<n>",
    "(?#",
    "\\Z",
    "\\G",
    "\u{10FFFF}",
];

fn nonsense() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Any pattern is refused or compiled, and matching texts begin with its prefix.
    #[test]
    fn malformed_pattern_does_not_panic(pattern in nonsense(), options in "[imsx]{0,2}", text in "[abABé01 \n]{0,6}") {
        if let Ok(compiled) = Pattern::new(&pattern, &options)
            && let Ok(true) = compiled.finds(&text)
            && let Some(prefix) = compiled.prefix()
        {
            prop_assert!(text.starts_with(prefix), "/{pattern}/{options} in {text:?}: {prefix:?}");
        }
    }

    #[test]
    fn any_pattern_is_refused_or_keeps_prefix(pattern in any::<String>(), options in "[imsx]{0,4}") {
        let _ = Pattern::new(&pattern, &options);
    }

    /// Plain text stays as it is, and a quoted one finds itself and nothing else.
    #[test]
    fn plain_text_and_quoted_text_match_literally(text in "[\\p{L}\\p{N} _,:;/@!%<>='\"]{1,12}", any in any::<String>(), other in "[a-c.\\\\E]{0,4}") {
        prop_assert_eq!(&translate(&text, "").unwrap().text, &text);
        let quoted = format!("^{}\\z", Pattern::quote(&any));
        let compiled = Pattern::new(&quoted, "").unwrap();
        prop_assert!(compiled.finds(&any).unwrap());
        prop_assert_eq!(compiled.finds(&other).unwrap(), other == any);
        prop_assert_eq!(compiled.prefix().unwrap_or_default(), any.as_str());
    }
}
