//! The attributes of `kv-sdk`; its documentation shows them at work.
//!
//! They write what an author would otherwise write by hand, and name nothing but `::kv_sdk`.

mod input;
mod operation;

use proc_macro::TokenStream;

/// Makes a struct or enum the input of an operation, or a part of one: it is read strictly (an unknown member is an
/// error), and it has a JSON Schema whose descriptions are the doc comments. `Option` members may be left out.
///
/// `#[input(open)]` lets members through that the type does not name; the function gets them from
/// `Io::input_without`. Serde's own attributes (`rename`, `rename_all`, `default`, `untagged`) work as ever.
#[proc_macro_attribute]
pub fn input(arguments: TokenStream, item: TokenStream) -> TokenStream {
    input::expand_input(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct or enum readable from an answer and writable to a body or transcript. Members that it does not name are
/// passed over.
#[proc_macro_attribute]
pub fn data(arguments: TokenStream, item: TokenStream) -> TokenStream {
    input::expand_data(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes an `async fn(&Io)` or `async fn(&Io, Input)` an operation, for `provider!` to list.
///
/// | argument | |
/// |---|---|
/// | `name = "charges.list"` | its name |
/// | `effect = Read` | a variant of `Effect` |
/// | `suggest = Allow` | `Allow`, `Ask` or `Deny` |
/// | `endpoint = "GET /v1/charges"` | what its requests go to, once for each; HTTP only |
/// | `facts(amount = "/amount")` | facts for policy, as JSON pointers into the input |
/// | `headers("x-beta" = "v2")` | what the host adds to requests for its endpoints, raw calls included |
/// | `repeatable` | sent twice, its requests do what they do sent once |
///
/// The doc comment's first paragraph is the title, the rest the description.
#[proc_macro_attribute]
pub fn operation(arguments: TokenStream, item: TokenStream) -> TokenStream {
    operation::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
