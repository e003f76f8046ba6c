-- The strategy's "Verify critical data exists". A warning: a young project may have no message yet.
-- name: chat-messages-exist
-- severity: warn
-- expect: value = true
-- requires: public.chat_messages
SELECT EXISTS (SELECT FROM public.chat_messages);
