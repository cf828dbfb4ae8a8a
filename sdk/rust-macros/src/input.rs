//! `#[input]` and `#[data]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Ident, Meta, Result, Type};

pub(crate) fn expand_input(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let open = is_open(arguments)?;
    let mut item: DeriveInput = syn::parse2(item)?;
    skip_absent(&mut item);
    keep_schemars_native(&mut item);
    let strict = (!open && has_named_members(&item)).then(|| quote!(#[serde(deny_unknown_fields)]));
    Ok(quote! {
        #[derive(::kv_sdk::__private::serde::Deserialize, ::kv_sdk::__private::serde::Serialize)]
        #[cfg_attr(not(target_family = "wasm"), derive(::kv_sdk::__private::schemars::JsonSchema))]
        #[cfg_attr(not(target_family = "wasm"), schemars(crate = "::kv_sdk::__private::schemars"))]
        #[serde(crate = "::kv_sdk::__private::serde")]
        #strict
        #item
    })
}

pub(crate) fn expand_data(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "it takes no arguments"));
    }
    let mut item: DeriveInput = syn::parse2(item)?;
    skip_absent(&mut item);
    Ok(quote! {
        #[derive(::kv_sdk::__private::serde::Deserialize, ::kv_sdk::__private::serde::Serialize)]
        #[serde(crate = "::kv_sdk::__private::serde")]
        #item
    })
}

fn is_open(arguments: TokenStream) -> Result<bool> {
    if arguments.is_empty() {
        return Ok(false);
    }
    let word: Ident = syn::parse2(arguments)?;
    if word == "open" { Ok(true) } else { Err(Error::new_spanned(word, "`open` is the only argument")) }
}

/// Serde refuses `deny_unknown_fields` nowhere, but on a type without members it would say nothing.
fn has_named_members(item: &DeriveInput) -> bool {
    match &item.data {
        Data::Struct(data) => matches!(data.fields, Fields::Named(_)),
        Data::Enum(data) => data.variants.iter().any(|variant| matches!(variant.fields, Fields::Named(_))),
        Data::Union(_) => false,
    }
}

/// An `Option` member that is `None` is not written: to most services a null is a value.
fn skip_absent(item: &mut DeriveInput) {
    let Data::Struct(data) = &mut item.data else { return };
    for field in &mut data.fields {
        if field.ident.is_some() && is_option(&field.ty) {
            field.attrs.push(syn::parse_quote!(#[serde(skip_serializing_if = "::core::option::Option::is_none")]));
        }
    }
}

/// `#[schemars(range(max = 100))]` means something only where the schema is derived.
fn keep_schemars_native(item: &mut DeriveInput) {
    item.attrs.iter_mut().for_each(make_native);
    let fields: Vec<_> = match &mut item.data {
        Data::Struct(data) => data.fields.iter_mut().collect(),
        Data::Enum(data) => data
            .variants
            .iter_mut()
            .flat_map(|variant| {
                variant.attrs.iter_mut().for_each(make_native);
                variant.fields.iter_mut()
            })
            .collect(),
        Data::Union(_) => Vec::new(),
    };
    fields.into_iter().flat_map(|field| &mut field.attrs).for_each(make_native);
}

fn make_native(attribute: &mut Attribute) {
    if attribute.path().is_ident("schemars")
        && let Meta::List(list) = &attribute.meta
    {
        *attribute = syn::parse_quote!(#[cfg_attr(not(target_family = "wasm"), #list)]);
    }
}

fn is_option(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == "Option")
}
