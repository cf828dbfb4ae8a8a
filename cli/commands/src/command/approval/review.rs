//! A review on a terminal. Left of the rule stand the host's labels, right of it what is asked for, and nothing of that ever
//! begins a line of the terminal: what is longer than the window is cut here, not by the terminal, so a value full of
//! spaces cannot write a line of its own.

use std::collections::VecDeque;

use kv_api::{ApprovalDetail, ApprovalState, ReviewLine};

use super::state;
use crate::output::inert;
use crate::time::{ago, span};

/// As wide as the column of labels gets.
const MAX_LABEL: usize = 24;
/// Windows narrower than this do not show a review well, and are taken to be as wide.
const MIN_COLUMNS: usize = 40;
/// Before a label, and around the rule: two, one and the rule, one.
const FRAME: usize = 6;

/// Begins a value, or a line of it.
const RULE: char = '│';
/// Goes on with a line that did not fit.
const ON: char = '┆';
/// Begins what nobody has checked.
const CLAIM: char = '?';

/// The whole of it: what becomes of the question, the request, and apart from it the words of others.
pub(super) fn text(detail: &ApprovalDetail, columns: usize) -> String {
    let mut text = format!("approval {}   {}\n\n", plain(&detail.id), status(detail));
    let labels = detail.review.iter().map(|line| cells(&label(line))).max().unwrap_or_default().min(MAX_LABEL);
    let values = columns.max(MIN_COLUMNS).saturating_sub(labels + FRAME).max(1);
    let (claims, facts): (Vec<_>, Vec<_>) = detail.review.iter().partition(|line| line.claim);
    facts.iter().for_each(|line| put(&mut text, line, RULE, labels, values));
    if !claims.is_empty() {
        text.push_str("\n  Said by others about it, and checked by nobody:\n");
        claims.iter().for_each(|line| put(&mut text, line, CLAIM, labels, values));
    }
    text
}

fn status(detail: &ApprovalDetail) -> String {
    let asked = ago(detail.asked_ms);
    match detail.state {
        ApprovalState::Pending => format!("asked {asked}, open for {}", span(detail.remaining_ms)),
        ApprovalState::Granted => format!("asked {asked}, granted, to be used within {}", span(detail.remaining_ms)),
        other => format!("asked {asked}, {}", state(other)),
    }
}

fn put(text: &mut String, line: &ReviewLine, rule: char, labels: usize, values: usize) {
    let mut left = cut(&label(line), labels);
    // What goes on from a label must not look like another.
    if left.len() > 1 {
        let rest: String = left.drain(1..).collect();
        left.extend(cut(&rest, labels.saturating_sub(2).max(1)).into_iter().map(|piece| format!("> {piece}")));
    }
    let mut right = cut(&plain(&line.value), values);
    let mut first = true;
    while first || !left.is_empty() || !right.is_empty() {
        let (label, value) = (left.pop_front().unwrap_or_default(), right.pop_front().unwrap_or_default());
        let pad = " ".repeat(labels.saturating_sub(cells(&label)));
        text.push_str(format!("  {label}{pad} {} {value}", if first { rule } else { ON }).trim_end());
        text.push('\n');
        first = false;
    }
}

/// On top of the host's own escaping: one line, with nothing in it that steers.
fn plain(text: &str) -> String {
    inert(text).replace(['\n', '\t'], "\u{fffd}")
}

/// A label may hold a name of the caller's choosing, such as a parameter's.
fn label(line: &ReviewLine) -> String {
    plain(&line.label).replace(RULE, "\\u{2502}").replace(ON, "\\u{2506}")
}

/// In pieces that are no wider than this.
fn cut(text: &str, width: usize) -> VecDeque<String> {
    let mut pieces = VecDeque::from([String::new()]);
    let mut used = 0;
    for c in text.chars() {
        if used + width_of(c) > width && used > 0 {
            pieces.push_back(String::new());
            used = 0;
        }
        used += width_of(c);
        pieces.back_mut().into_iter().for_each(|piece| piece.push(c));
    }
    pieces
}

fn cells(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

/// Never less than what a terminal takes. Which characters are wide, terminals do not agree on.
fn width_of(c: char) -> usize {
    if c.is_ascii() { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use kv_model::Effect;

    use super::*;

    fn line(label: &str, value: &str) -> ReviewLine {
        ReviewLine { label: label.to_owned(), value: value.to_owned(), claim: false }
    }

    fn detail(review: Vec<ReviewLine>) -> ApprovalDetail {
        ApprovalDetail {
            id: "7F3K".to_owned(),
            state: ApprovalState::Pending,
            remaining_ms: 108_000,
            asked_ms: crate::time::now_ms(),
            agent: "claude-code".to_owned(),
            connection: kv_model::ConnectionName::parse("stripe").unwrap(),
            operation: kv_model::OperationName::parse("refunds.create").unwrap(),
            effect: Effect::Write,
            endpoint: "POST /v1/refunds".to_owned(),
            review,
            needs: kv_api::FactorKind::Totp,
        }
    }

    #[test]
    fn a_review() {
        let claim = ReviewLine { claim: true, ..line("the provider says", "“a refund of 5 EUR”") };
        let lines = vec![
            line("asks", "agent claude-code"),
            line("body", "{"),
            line("", "}"),
            claim,
            line("digest", "ab12 cd34"),
        ];
        let wanted = "approval 7F3K   asked just now, open for 1 min 48 s\n\
            \n\
            \x20 asks              │ agent claude-code\n\
            \x20 body              │ {\n\
            \x20                   │ }\n\
            \x20 digest            │ ab12 cd34\n\
            \n\
            \x20 Said by others about it, and checked by nobody:\n\
            \x20 the provider says ? “a refund of 5 EUR”\n";
        assert_eq!(text(&detail(lines), 80), wanted);
    }

    /// Whatever a value or a name in a label holds, it stands right of the rule, or right of its own beginning.
    #[test]
    fn nothing_looks_like_another_line() {
        let far = " ".repeat(200);
        for columns in [0, 40, 80, 133] {
            for value in [
                format!("x{far}  digest │ 0000 0000"),
                format!("{far}Passphrase: "),
                "x\n  digest │ 0000\r\n$ \tPassphrase:".to_owned(),
                "\u{1b}[2J\u{1b}[1;1H\u{202e}approval".to_owned(),
                "漢".repeat(300),
                "e\u{301}".repeat(300),
            ] {
                let shown = text(&detail(vec![line("body", &value), line("digest", "ab12")]), columns);
                for (at, row) in shown.lines().enumerate().skip(2) {
                    assert!(cells(row) <= columns.max(MIN_COLUMNS) + 1, "{columns}: {row}");
                    let last = row.starts_with("  digest │ ab12");
                    let begins = row.starts_with(if at == 2 { "  body   │" } else { "         ┆" });
                    assert!(begins || last, "{columns}: {row:?}");
                }
                assert_eq!(shown.matches("\n  digest").count(), 1, "{shown}");
                assert!(!shown.chars().any(|c| c != '\n' && crate::output::steers(c)), "{shown:?}");
            }
        }
    }

    #[test]
    fn a_name_in_a_label_is_no_label() {
        let name = format!("field {}asks │ agent me{}digest", " ".repeat(30), " ".repeat(14));
        let shown = text(&detail(vec![line(&name, "1"), line("digest", "ab12")]), 80);
        let rows: Vec<_> = shown.lines().skip(2).collect();
        assert!(rows[0].starts_with("  field "), "{shown}");
        let last = rows.len() - 1;
        assert!(rows[1..last].iter().all(|row| row.starts_with("  > ") && !row.contains('│')), "{shown}");
        assert!(rows[last].starts_with("  digest ") && rows[last].ends_with("│ ab12"), "{shown}");
    }

    #[test]
    fn what_is_cut_is_whole() {
        for value in ["", "a", "漢字b", &"ab漢".repeat(50)] {
            for width in [1, 2, 3, 7, 80] {
                let pieces = cut(value, width);
                assert_eq!(pieces.iter().map(String::as_str).collect::<String>(), value);
                assert!(pieces.iter().all(|piece| cells(piece) <= width.max(2)), "{pieces:?}");
            }
        }
    }
}
