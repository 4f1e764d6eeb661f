-- A conversation in a project, project/NAME/conversation/NAME, is of the category `conversation`. Older versions took
-- it for a project with that name. memcrdt/model/scopes.py has the rule that these conditions repeat: the first
-- '/conversation/' counts, and both names are neither empty nor surrounded by spaces.

UPDATE memories SET category = 'conversation' WHERE memory IN (
  SELECT memory FROM (
    SELECT memory, substr(name, 1, place - 1) AS project, substr(name, place + 14) AS conversation
    FROM (
      SELECT memory, substr(scope, 9) AS name, instr(substr(scope, 9), '/conversation/') AS place
      FROM memories WHERE substr(scope, 1, 8) = 'project/'
    ) WHERE place > 0
  ) WHERE project <> '' AND project = trim(project) AND conversation <> '' AND conversation = trim(conversation)
);
