//! `#[operation]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, ExprLit, FnArg, Ident, ItemFn, Lit, LitStr, Meta, Result, Token, Type, parenthesized};

/// The attribute's arguments.
#[derive(Default)]
struct Arguments {
    name: Option<LitStr>,
    effect: Option<Ident>,
    suggest: Option<Ident>,
    endpoints: Vec<LitStr>,
    facts: Vec<(LitStr, LitStr)>,
    headers: Vec<(LitStr, LitStr)>,
    repeatable: bool,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            let word: Ident = input.parse()?;
            match word.to_string().as_str() {
                "name" => arguments.name = Some(value(input)?),
                "effect" => arguments.effect = Some(value(input)?),
                "suggest" => arguments.suggest = Some(value(input)?),
                "endpoint" => arguments.endpoints.push(value(input)?),
                "facts" => arguments.facts = pairs(input)?,
                "headers" => arguments.headers = pairs(input)?,
                "repeatable" => arguments.repeatable = true,
                _ => {
                    let known = "name, effect, suggest, endpoint, facts, headers or repeatable";
                    return Err(Error::new_spanned(word, format!("an operation has {known}")));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

fn value<T: Parse>(input: ParseStream<'_>) -> Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

/// `(a = "b", "c" = "d")`
fn pairs(input: ParseStream<'_>) -> Result<Vec<(LitStr, LitStr)>> {
    let inside;
    parenthesized!(inside in input);
    let mut pairs = Vec::new();
    while !inside.is_empty() {
        let name = if inside.peek(LitStr) {
            inside.parse()?
        } else {
            let word: Ident = inside.parse()?;
            LitStr::new(&word.to_string(), word.span())
        };
        pairs.push((name, value(&inside)?));
        if !inside.is_empty() {
            inside.parse::<Token![,]>()?;
        }
    }
    Ok(pairs)
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function: ItemFn = syn::parse2(item)?;
    let Arguments { name, effect, suggest, endpoints, facts, headers, repeatable } = syn::parse2(arguments)?;
    let ident = &function.sig.ident;
    let missing = |what: &str| Error::new_spanned(ident, format!("the operation has no `{what}`"));
    let name = name.ok_or_else(|| missing("name"))?;
    let effect = effect.ok_or_else(|| missing("effect"))?;
    let suggest = suggest.ok_or_else(|| missing("suggest"))?;
    if function.sig.asyncness.is_none() {
        return Err(Error::new_spanned(&function.sig, "an operation is an `async fn`"));
    }
    let (title, description) = title_and_description(&function);
    if title.is_empty() {
        return Err(Error::new_spanned(ident, "an operation has a doc comment: its first paragraph is the title"));
    }
    let (input, call) = match input_type(&function)? {
        Some(input) => (quote!(#input), quote!(#ident(io, input))),
        None => (quote!(::kv_sdk::NoInput), quote!(#ident(io))),
    };
    let ignored = if input_type(&function)?.is_none() { quote!(let _: #input) } else { quote!(let input: #input) };
    let visibility = &function.vis;
    let (fact_names, pointers): (Vec<_>, Vec<_>) = facts.into_iter().unzip();
    let (header_names, header_values): (Vec<_>, Vec<_>) = headers.into_iter().unzip();
    Ok(quote! {
        #function

        // Functions and types have names apart, so the operation goes by the function's own.
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "it has the function's name")]
        #visibility enum #ident {}

        impl ::kv_sdk::__private::Described for #ident {
            const OPERATION: ::kv_sdk::Operation = {
                // A name that no function of an author's has, since theirs is called from inside.
                fn __kv_run(io: &::kv_sdk::Io) -> ::core::result::Result<::kv_sdk::__private::Running<'_>, ::kv_sdk::Failure> {
                    #ignored = ::kv_sdk::__private::parse(io.input_text())?;
                    ::core::result::Result::Ok(::std::boxed::Box::pin(#call))
                }
                ::kv_sdk::Operation {
                    name: #name,
                    title: #title,
                    effect: ::kv_sdk::Effect::#effect,
                    repeatable: #repeatable,
                    run: __kv_run,
                    #[cfg(not(target_family = "wasm"))]
                    about: ::kv_sdk::About {
                        description: #description,
                        suggest: ::kv_sdk::Suggestion::#suggest,
                        facts: &[#((#fact_names, #pointers)),*],
                        endpoints: &[#(#endpoints),*],
                        headers: &[#((#header_names, #header_values)),*],
                        schema: ::kv_sdk::__private::schema_of::<#input>,
                    },
                }
            };
        }
    })
}

/// The type of the second argument.
fn input_type(function: &ItemFn) -> Result<Option<&Type>> {
    let mut arguments = function.sig.inputs.iter();
    let wrong = || Error::new_spanned(&function.sig, "an operation takes `&Io`, and an input if it has one");
    let Some(FnArg::Typed(_)) = arguments.next() else { return Err(wrong()) };
    match (arguments.next(), arguments.next()) {
        (None, _) => Ok(None),
        (Some(FnArg::Typed(input)), None) => Ok(Some(&input.ty)),
        _ => Err(wrong()),
    }
}

/// The doc comment's first paragraph without its full stop, and the rest.
fn title_and_description(function: &ItemFn) -> (String, String) {
    let lines: Vec<String> = function
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"))
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    let paragraphs: Vec<String> =
        lines.split(String::is_empty).filter(|lines| !lines.is_empty()).map(|lines| lines.join(" ")).collect();
    let title = paragraphs.first().map(|title| title.trim_end_matches('.').to_owned()).unwrap_or_default();
    (title, paragraphs.get(1..).unwrap_or_default().join("\n"))
}
