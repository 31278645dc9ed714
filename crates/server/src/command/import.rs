//! History that is taken over from elsewhere, by administrators: accounts without a password, and
//! messages in their authors' names with the time that they had there.

use chirrup_core::aggregate::{Action, AggregateId};
use chirrup_core::{conversation, names};
use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::request::{ImportMessage, ImportUser};

use super::change::{Change, digest};
use super::check::{administrator, read, refused, seq, text};
use super::login::NewAccount;
use super::{Context, Plan, Session};

/// Makes an account without a password.
pub(super) async fn user(context: &Context, session: &Session, request: ImportUser) -> Result<Plan, Error> {
    administrator(context, session.user).await?;
    let name = names::name(&request.name).map_err(refused)?;
    let display_name = names::title("the display name", request.display_name.as_ref().unwrap_or(&name)).map_err(refused)?;
    let account = NewAccount { name, display_name, client_id: request.client_id, digest: digest(&request.into()) };
    let (user, _) = account.take_name(context, None).await?;
    account.create(context, user).await?;
    let made = read(context, move |views| Ok(views.user(user)?)).await?;
    made.map(Plan::from).ok_or_else(|| Error::new(Code::Internal, "the account is not there"))
}

/// Takes a message over in its author's name.
pub(super) async fn message(context: &Context, session: &Session, request: ImportMessage) -> Result<Plan, Error> {
    administrator(context, session.user).await?;
    let action = conversation::Action::Send {
        form: request.form.into(),
        text: text(request.text.clone(), Vec::new(), false)?,
        reply_to: request.reply_to.map(|n| seq("reply_to", n)).transpose()?,
        thread_root: None,
        also_in_conversation: false,
        original_time: Some(request.original_time),
    };
    let (conversation, client_id, author) = (request.conversation, request.client_id, request.author);
    let aggregate = AggregateId::Conversation(conversation);
    let change = Change::new(aggregate, author, client_id, &request.into(), Action::Conversation(action));
    Ok(Change { sending: Some((conversation, client_id)), ..change }.into())
}
