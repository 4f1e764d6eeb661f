-- project/NAME/conversation/NAME is a scope of the category `conversation`. Older versions treated it as a project. The
-- conditions repeat the rule in memcrdt/model/scopes.py: the first '/conversation/' separates the two names, and neither
-- name is empty or surrounded by spaces.

UPDATE memories SET category = 'conversation' WHERE memory IN (
  SELECT memory FROM (
    SELECT memory, substr(name, 1, place - 1) AS project, substr(name, place + 14) AS conversation
    FROM (
      SELECT memory, substr(scope, 9) AS name, instr(substr(scope, 9), '/conversation/') AS place
      FROM memories WHERE substr(scope, 1, 8) = 'project/'
    ) WHERE place > 0
  ) WHERE project <> '' AND project = trim(project) AND conversation <> '' AND conversation = trim(conversation)
);
