-- What the calls of faces need: tokens, as in memcrdt/store/schema/0003.sql, and the form in which texts are compared.

CREATE TABLE tokens(
  name       text COLLATE "C" PRIMARY KEY,
  hash       bytea NOT NULL,
  origins    text COLLATE "C" NOT NULL,
  created_at bigint NOT NULL,
  rights     text COLLATE "C" NOT NULL DEFAULT '["read"]'
);

CREATE TABLE token_spaces(
  name  text COLLATE "C" NOT NULL REFERENCES tokens(name) ON DELETE CASCADE,
  space bigint NOT NULL REFERENCES spaces(space) ON DELETE CASCADE,
  PRIMARY KEY(name, space)
);

CREATE FUNCTION nfc(given text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT normalize(given, NFC) $$;
