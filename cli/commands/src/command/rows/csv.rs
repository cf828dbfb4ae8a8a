//! CSV as RFC 4180 has it: CRLF, quotes where they are needed, the columns' names first. No value is an empty field, an
//! empty text is one in quotes.

use super::{Rows, plain};
use crate::problem::Problem;

pub(in crate::command) fn csv(rows: &Rows) -> Result<String, Problem> {
    let mut out = String::new();
    line(&mut out, rows.columns.iter().map(|column| Some(column.name.as_str())));
    for row in &rows.rows {
        let values = row.iter().map(|value| plain(value)).collect::<Result<Vec<_>, _>>()?;
        line(&mut out, values.iter().map(|value| value.as_deref()));
    }
    Ok(out)
}

fn line<'a>(out: &mut String, fields: impl Iterator<Item = Option<&'a str>>) {
    for (index, field) in fields.enumerate() {
        if index > 0 {
            out.push(',');
        }
        let Some(text) = field else { continue };
        // Spaces at the edges belong to the field, and some readers drop them.
        let needs_quotes = text.is_empty() || text.contains([',', '"', '\r', '\n']) || text.trim() != text;
        if needs_quotes {
            out.push('"');
            out.push_str(&text.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(text);
        }
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let json = r#"{"columns":[{"name":"a","type":"text"},{"name":"b,c","type":"jsonb"}],
            "rows":[["x",1],["say \"hi\"","a,b"],["two\nlines"," edge"],[null,""],["ü\r",{"k":[1,"2"]}],["007",true]]}"#;
        let text = csv(&Rows::read(json).unwrap()).unwrap();
        assert_eq!(
            text,
            concat!(
                "a,\"b,c\"\r\n",
                "x,1\r\n",
                "\"say \"\"hi\"\"\",\"a,b\"\r\n",
                "\"two\nlines\",\" edge\"\r\n",
                ",\"\"\r\n",
                "\"ü\r\",\"{\"\"k\"\":[1,\"\"2\"\"]}\"\r\n",
                "007,true\r\n",
            )
        );
    }
}
