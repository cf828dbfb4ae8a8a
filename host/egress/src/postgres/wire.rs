//! Messages of the database's protocol (version 3.0): bytes in, messages out, and the other way round.
//!
//! Everything here distrusts the server: each kind of message has a bound that is looked at before a byte of it is kept,
//! every count is held against what is there, and a message that is anything but exactly itself is none. No I/O.
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

use bytes::{Buf, Bytes, BytesMut};

/// What a server sends, as far as it matters to us.
#[derive(Debug)]
pub(super) enum Message {
    Authentication(Authentication),
    BindComplete,
    CloseComplete,
    CommandComplete(Bytes),
    /// Data through the connection, in whichever direction: nobody asked.
    Copy,
    DataRow(Row),
    EmptyQuery,
    Error(ServerError),
    /// What a request to cancel has to name.
    KeyData {
        process: u32,
        secret: u32,
    },
    NoData,
    Notice,
    Notification,
    ParameterDescription(Vec<u32>),
    ParameterStatus,
    ParseComplete,
    PortalSuspended,
    Ready(Status),
    RowDescription(Vec<Field>),
}

/// What the server wants to see before it lets anybody in.
#[derive(Debug)]
pub(super) enum Authentication {
    Cleartext,
    Md5 {
        salt: [u8; 4],
    },
    Ok,
    /// Kerberos, GSSAPI, SSPI, and what is yet to be invented.
    Other,
    Sasl {
        mechanisms: Vec<String>,
    },
    SaslContinue(Bytes),
    SaslFinal(Bytes),
}

/// Where the session stands between two statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Failed,
    Idle,
    InTransaction,
}

/// One column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) type_oid: u32,
}

/// One row, whose fields are known to be there.
#[derive(Debug, Clone)]
pub(super) struct Row(Bytes);

/// The parts of an error that are passed on, not yet cleaned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServerError {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) detail: Option<String>,
    pub(super) hint: Option<String>,
    pub(super) position: Option<u32>,
    /// The server ends the session with it.
    pub(super) is_fatal: bool,
}

/// Why there is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// The connection ended.
    Lost,
    /// What came is no message, or none that may come.
    Protocol,
    /// A row over [`MAX_ROW_BYTES`].
    Row,
}

/// Takes the next message off the buffer. `None`: it is not all there; the buffer has room for what is missing.
pub(super) fn next(buffer: &mut BytesMut) -> Result<Option<Message>, Broken> {
    let Some((&tag, after)) = buffer.split_first() else {
        buffer.reserve(READ_BYTES);
        return Ok(None);
    };
    let Some(length) = after.first_chunk::<4>() else {
        buffer.reserve(READ_BYTES);
        return Ok(None);
    };
    // The length counts itself.
    let length = u32::from_be_bytes(*length) as usize;
    if length > most(tag)? {
        return Err(if tag == b'D' { Broken::Row } else { Broken::Protocol });
    }
    let whole = length.checked_add(1).filter(|_| length >= 4).ok_or(Broken::Protocol)?;
    if buffer.len() < whole {
        buffer.reserve((whole - buffer.len()).max(READ_BYTES));
        return Ok(None);
    }
    let mut body = buffer.split_to(whole).freeze();
    body.advance(5);
    message(tag, body).ok_or(Broken::Protocol).map(Some)
}

/// As long as a message of this kind may be, its length included.
fn most(tag: u8) -> Result<usize, Broken> {
    match tag {
        b'D' => Ok(MAX_ROW_BYTES),
        b'E' | b'N' | b'T' | b't' => Ok(MAX_TEXT_BYTES),
        b'1' | b'2' | b'3' | b'A' | b'C' | b'G' | b'H' | b'I' | b'K' | b'R' | b'S' | b'W' | b'Z' | b'c' | b'd'
        | b'n' | b's' => Ok(MAX_OTHER_BYTES),
        // `v`, the offer of another version, answers a wish that is never made; the rest does not exist.
        _ => Err(Broken::Protocol),
    }
}

fn message(tag: u8, body: Bytes) -> Option<Message> {
    let mut read = Reader(&body);
    let message = match tag {
        b'1' => Message::ParseComplete,
        b'2' => Message::BindComplete,
        b'3' => Message::CloseComplete,
        b'A' => return Some(Message::Notification),
        b'C' => Message::CommandComplete(Bytes::copy_from_slice(read.c_str()?)),
        b'D' => return row(body).map(Message::DataRow),
        b'E' => Message::Error(error(&mut read)?),
        b'G' | b'H' | b'W' | b'c' | b'd' => return Some(Message::Copy),
        b'I' => Message::EmptyQuery,
        b'K' => Message::KeyData { process: read.u32()?, secret: read.u32()? },
        b'N' => return Some(Message::Notice),
        b'R' => Message::Authentication(authentication(&mut read)?),
        b'S' => return Some(Message::ParameterStatus),
        b'T' => Message::RowDescription(fields(&mut read)?),
        b'Z' => Message::Ready(match read.u8()? {
            b'E' => Status::Failed,
            b'I' => Status::Idle,
            b'T' => Status::InTransaction,
            _ => return None,
        }),
        b'n' => Message::NoData,
        b's' => Message::PortalSuspended,
        b't' => {
            let count = read.u16()?;
            Message::ParameterDescription((0..count).map(|_| read.u32()).collect::<Option<_>>()?)
        }
        _ => return None,
    };
    read.0.is_empty().then_some(message)
}

fn authentication(read: &mut Reader<'_>) -> Option<Authentication> {
    Some(match read.u32()? {
        0 => Authentication::Ok,
        3 => Authentication::Cleartext,
        5 => Authentication::Md5 { salt: read.take(4)?.try_into().ok()? },
        10 => {
            let mut mechanisms = Vec::new();
            loop {
                match read.c_str()? {
                    b"" => break,
                    name => mechanisms.push(String::from_utf8_lossy(name).into_owned()),
                }
            }
            Authentication::Sasl { mechanisms }
        }
        11 => Authentication::SaslContinue(Bytes::copy_from_slice(read.rest())),
        12 => Authentication::SaslFinal(Bytes::copy_from_slice(read.rest())),
        _ => {
            read.rest();
            Authentication::Other
        }
    })
}

fn fields(read: &mut Reader<'_>) -> Option<Vec<Field>> {
    let count = read.u16()?;
    if count > MAX_COLUMNS {
        return None;
    }
    let field = |_| {
        let name = String::from_utf8_lossy(read.c_str()?).into_owned();
        // Table and column number before the type, size, modifier and format behind it.
        read.take(6)?;
        let type_oid = read.u32()?;
        read.take(6)?;
        // Text was asked for everywhere; what a `describe` says before that is 0, which is text too.
        (read.u16()? == 0).then_some(Field { name, type_oid })
    };
    (0..count).map(field).collect()
}

fn row(body: Bytes) -> Option<Row> {
    let mut read = Reader(&body);
    let count = read.u16()?;
    (0..count).try_for_each(|_| read.field().map(|_| ()))?;
    read.0.is_empty().then_some(Row(body))
}

fn error(read: &mut Reader<'_>) -> Option<ServerError> {
    let mut error = ServerError::default();
    loop {
        let kind = read.u8()?;
        if kind == 0 {
            return Some(error);
        }
        let value = read.c_str()?;
        let text = || String::from_utf8_lossy(value).into_owned();
        match kind {
            b'C' => error.code = sqlstate(value),
            b'D' => error.detail = Some(text()),
            b'H' => error.hint = Some(text()),
            b'M' => error.message = text(),
            b'P' => error.position = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()),
            // The severity that is never translated; servers before 9.6 have none.
            b'V' => error.is_fatal = matches!(value, b"FATAL" | b"PANIC"),
            // Where in the server's source, in which function, and with which inner query: nobody's business.
            _ => {}
        }
    }
}

/// Five digits or letters, or what stands for an error that has no code.
fn sqlstate(value: &[u8]) -> String {
    let is_one = value.len() == 5 && value.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    let code = if is_one { value } else { b"XX000" };
    code.iter().map(|b| char::from(*b)).collect()
}

impl Row {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn count(&self) -> usize {
        Reader(&self.0).u16().map_or(0, usize::from)
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut read = Reader(&self.0);
        let count = read.u16().unwrap_or(0);
        (0..count).map_while(move |_| read.field())
    }

    /// For looking through the whole of it at once.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn c_str(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|b| *b == 0)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(text)
    }

    /// A value, or `NULL`.
    fn field(&mut self) -> Option<Option<&'a [u8]>> {
        match self.u32()? {
            u32::MAX => Some(None),
            length => self.take(length as usize).map(Some),
        }
    }
}

/// Messages on their way to the server, in one piece.
#[derive(Default)]
pub(super) struct Outgoing(pub(super) Vec<u8>);

impl Outgoing {
    pub(super) fn startup(&mut self, parameters: &[(&str, &str)]) {
        self.body(None, |out| {
            out.extend_from_slice(&0x0003_0000_u32.to_be_bytes());
            for (name, value) in parameters {
                c_str(out, name.as_bytes());
                c_str(out, value.as_bytes());
            }
            out.push(0);
        });
    }

    pub(super) fn ssl_request(&mut self) {
        self.body(None, |out| out.extend_from_slice(&80_877_103_u32.to_be_bytes()));
    }

    pub(super) fn cancel(&mut self, process: u32, secret: u32) {
        self.body(None, |out| {
            out.extend_from_slice(&80_877_102_u32.to_be_bytes());
            out.extend_from_slice(&process.to_be_bytes());
            out.extend_from_slice(&secret.to_be_bytes());
        });
    }

    /// The text of a password, or the hash of one.
    pub(super) fn password(&mut self, password: &[u8]) {
        self.body(Some(b'p'), |out| c_str(out, password));
    }

    pub(super) fn sasl_initial(&mut self, mechanism: &str, data: &[u8]) {
        self.body(Some(b'p'), |out| {
            c_str(out, mechanism.as_bytes());
            sized(out, Some(data));
        });
    }

    pub(super) fn sasl_response(&mut self, data: &[u8]) {
        self.body(Some(b'p'), |out| out.extend_from_slice(data));
    }

    pub(super) fn query(&mut self, text: &str) {
        self.body(Some(b'Q'), |out| c_str(out, text.as_bytes()));
    }

    /// The unnamed statement.
    pub(super) fn parse(&mut self, text: &str) {
        self.parse_named("", text);
    }

    pub(super) fn parse_named(&mut self, name: &str, text: &str) {
        self.body(Some(b'P'), |out| {
            c_str(out, name.as_bytes());
            c_str(out, text.as_bytes());
            out.extend_from_slice(&[0, 0]);
        });
    }

    /// Text both ways, into the unnamed portal.
    pub(super) fn bind(&mut self, statement: &str, params: &[Option<Vec<u8>>]) {
        self.body(Some(b'B'), |out| {
            c_str(out, b"");
            c_str(out, statement.as_bytes());
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&u16::try_from(params.len()).unwrap_or(u16::MAX).to_be_bytes());
            params.iter().for_each(|param| sized(out, param.as_deref()));
            out.extend_from_slice(&[0, 0]);
        });
    }

    pub(super) fn describe_statement(&mut self) {
        self.body(Some(b'D'), |out| out.extend_from_slice(b"S\0"));
    }

    pub(super) fn describe_portal(&mut self) {
        self.body(Some(b'D'), |out| out.extend_from_slice(b"P\0"));
    }

    pub(super) fn close_statement(&mut self, name: &str) {
        self.body(Some(b'C'), |out| {
            out.push(b'S');
            c_str(out, name.as_bytes());
        });
    }

    /// As many rows at most; 0: all.
    pub(super) fn execute(&mut self, rows: u32) {
        self.body(Some(b'E'), |out| {
            out.push(0);
            out.extend_from_slice(&rows.to_be_bytes());
        });
    }

    pub(super) fn sync(&mut self) {
        self.body(Some(b'S'), |_| ());
    }

    pub(super) fn terminate(&mut self) {
        self.body(Some(b'X'), |_| ());
    }

    /// One statement of the host's own: parsed, bound and carried out, without a word about its columns.
    pub(super) fn statement(&mut self, text: &str) {
        self.parse(text);
        self.bind("", &[]);
        self.execute(0);
    }

    fn body(&mut self, tag: Option<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let out = &mut self.0;
        out.extend(tag);
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        write(out);
        // What goes out is bounded by the megabyte, far below what 32 bits hold.
        let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX).to_be_bytes();
        if let Some(place) = out.get_mut(start..start + 4) {
            place.copy_from_slice(&length);
        }
    }
}

/// Up to the first NUL: whoever calls has looked for one, and a text that ended early would be another text, not two.
fn c_str(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().take_while(|b| **b != 0));
    out.push(0);
}

fn sized(out: &mut Vec<u8>, data: Option<&[u8]>) {
    let length = data.map_or(u32::MAX, |data| u32::try_from(data.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(data.unwrap_or_default());
}

/// One row: as much as an answer may have in all, since a longer one could not be handed on.
pub(super) const MAX_ROW_BYTES: usize = 8 << 20;
/// Errors, notices, columns, parameters: 1,664 columns with names of 63 bytes take 140 KiB.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// The rest are a few words long.
const MAX_OTHER_BYTES: usize = 64 << 10;
/// PostgreSQL's own bound.
const MAX_COLUMNS: u16 = 1_664;
const READ_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests;
