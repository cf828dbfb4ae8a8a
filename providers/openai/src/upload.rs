//! Files that the caller sent along, as the service takes them: one part of a form, after the parameters.

use kv_sdk::{Attachment, Failure, Io, Multipart};

/// The attachment that the input names, or the only one there is.
pub(crate) fn chosen<'a>(io: &'a Io, name: Option<&str>) -> Result<&'a Attachment, Failure> {
    let attachments = io.attachments();
    match (name, attachments) {
        (Some(name), _) => attachments.iter().find(|attachment| attachment.name == name).ok_or_else(|| {
            Failure::invalid_input(format!("the call has no attachment of this name; it has {}", names(attachments)))
                .at("/file")
        }),
        (None, [only]) => Ok(only),
        (None, []) => Err(Failure::invalid_input("the call needs the file as an attachment")),
        (None, _) => {
            let message = format!("the call has several attachments, `file` says which: {}", names(attachments));
            Err(Failure::invalid_input(message).at("/file"))
        }
    }
}

fn names(attachments: &[Attachment]) -> String {
    match attachments {
        [] => "none".to_owned(),
        _ => attachments.iter().map(|attachment| format!("`{}`", attachment.name)).collect::<Vec<_>>().join(", "),
    }
}

/// The parameters, then the file under the name that every upload of this API has.
pub(crate) fn form(parameters: Vec<(String, String)>, file: &Attachment) -> Multipart {
    let form = parameters.into_iter().fold(Multipart::new(), |form, (name, value)| form.text(name, value));
    form.attachment("file", &file.name, &file.name)
}
