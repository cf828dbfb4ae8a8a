//! A QR code as text, two of its rows on each line.
//!
//! What is light in it is drawn, and what is dark is left out: on a dark terminal it is as it should be without a colour,
//! and with colours (white on black, whatever the terminal's own are) on any.

use kv_api::Hidden;
use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

use crate::problem::Problem;

/// The light border that readers look for, in modules.
const QUIET: usize = 4;
const WHITE_ON_BLACK: &str = "\u{1b}[38;5;231;48;5;16m";
const AS_BEFORE: &str = "\u{1b}[0m";

/// The text's code, at the lowest level of correction: a screen has no scratches, and a smaller code fits more windows.
pub(crate) fn render(text: &Hidden, color: bool) -> Result<Zeroizing<String>, Problem> {
    let code = QrCode::with_error_correction_level(text.reveal(), EcLevel::L)
        .map_err(|error| Problem::failed(format!("no QR code holds that: {error}")))?;
    let (width, modules) = (code.width(), Zeroizing::new(is_dark(&code)));
    let dark = |x: usize, y: usize| match (x.checked_sub(QUIET), y.checked_sub(QUIET)) {
        (Some(x), Some(y)) if x < width && y < width => modules[y * width + x],
        _ => false,
    };
    let side = width + 2 * QUIET;
    let mut drawn = Zeroizing::new(String::with_capacity(side * side * 2));
    for y in (0..side).step_by(2) {
        drawn.push_str(if color { WHITE_ON_BLACK } else { "" });
        for x in 0..side {
            // Below the last row there is border.
            drawn.push(match (dark(x, y), dark(x, y + 1)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            });
        }
        drawn.push_str(if color { AS_BEFORE } else { "" });
        drawn.push('\n');
    }
    Ok(drawn)
}

fn is_dark(code: &QrCode) -> Vec<bool> {
    code.to_colors().into_iter().map(|module| module == Color::Dark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "otpauth://totp/kv:kv-0123abcd?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=kv";

    /// Every module, read back from what is drawn: whether it is dark.
    fn read(drawn: &str) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in drawn.lines() {
            let half = |upper: bool| {
                let dark = move |c| match c {
                    '█' => false,
                    '▀' => !upper,
                    '▄' => upper,
                    ' ' => true,
                    other => panic!("{other:?}"),
                };
                line.chars().map(dark).collect::<Vec<_>>()
            };
            rows.extend([half(true), half(false)]);
        }
        rows
    }

    #[test]
    fn every_module_is_there_within_its_border() {
        for text in [URI, "a", &URI.repeat(3)] {
            let code = QrCode::with_error_correction_level(text, EcLevel::L).unwrap();
            let rows = read(&render(&Hidden::new(text.to_owned()), false).unwrap());
            let side = code.width() + 2 * QUIET;
            assert!(rows.len() >= side && rows.iter().all(|row| row.len() == side));
            for (y, row) in rows.iter().enumerate() {
                for (x, dark) in row.iter().enumerate() {
                    let inside =
                        (QUIET..QUIET + code.width()).contains(&x) && (QUIET..QUIET + code.width()).contains(&y);
                    let wanted = inside && code[(x - QUIET, y - QUIET)] == Color::Dark;
                    assert_eq!(*dark, wanted, "{x} {y}");
                }
            }
        }
    }

    #[test]
    fn it_fits_a_usual_window_and_leaves_no_colour() {
        let drawn = render(&Hidden::new(URI.to_owned()), true).unwrap();
        assert!(drawn.lines().count() <= 24, "{} lines", drawn.lines().count());
        for line in drawn.lines() {
            assert!(line.starts_with(WHITE_ON_BLACK) && line.ends_with(AS_BEFORE));
            assert!(line.chars().count() - WHITE_ON_BLACK.len() - AS_BEFORE.len() <= 60);
        }
        assert!(render(&Hidden::new("x".repeat(4000)), false).is_err(), "no code holds that");
    }
}
