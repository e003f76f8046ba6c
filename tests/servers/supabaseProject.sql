-- What a project's own people add to it: their tables, tied to the platform's. Run as postgres; the policies on the
-- platform's tables as supabase_admin, for on the real platform an extension (supautils) lets postgres make them.
CREATE SCHEMA supabase_migrations;
CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY, name text, statements text[]);
INSERT INTO supabase_migrations.schema_migrations VALUES ('20260101000000', 'initial', '{"CREATE TABLE profiles ()"}');

CREATE TABLE public.profiles (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, name text, secret bytea DEFAULT extensions.gen_random_bytes(4));
ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;
CREATE POLICY "own profile" ON public.profiles TO authenticated USING (id = auth.uid());
CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
  $$ BEGIN INSERT INTO public.profiles (id, name) VALUES (NEW.id, NEW.raw_user_meta_data ->> 'name'); RETURN NEW; END $$;
CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();

INSERT INTO auth.users (email, encrypted_password, raw_user_meta_data)
  SELECT 'user' || n || '@example.com', 'hash' || n, jsonb_build_object('name', 'User ' || n) FROM generate_series(1, 25) n;
INSERT INTO auth.identities (user_id, provider) SELECT id, 'email' FROM auth.users;
INSERT INTO auth.refresh_tokens (user_id, token) SELECT id, 'token' FROM auth.users;
INSERT INTO storage.buckets VALUES ('avatars', 'avatars', true);
INSERT INTO storage.objects (bucket_id, name, owner) SELECT 'avatars', id || '.png', id FROM auth.users;
ALTER PUBLICATION supabase_realtime ADD TABLE public.profiles;
