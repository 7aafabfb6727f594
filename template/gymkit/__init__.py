# Part of the template: changes belong there (`copier update` merges this file).
"""What every environment of this template shares, in layers: a module imports only from its own layer and those below.

The commands
- `cli`         the program `gymkit`; it alone loads server.py, tasks.py and policy.py

Programs, which are handed what they need of the environment
- `serve`       `python server.py`: the server alone, without Ray or a head server
- `data`        writes the task rows
- `cases`       writes the cases by which NeMo Gym tries the grader
- `check`       checks a live server
- `deploy`      puts the environment on a Hugging Face Space
- `describe`    carries the description to where it has to stand as well
- `conflicts`   names the conflict markers of an update
- `fixture`     the server in one process, and NeMo Gym's fixture of the cases

The server
- `server`      its endpoints: seed, tools, verify, close
- `middleware`  cookie, API key, size limit, and what happens to an error (plain ASGI)
- `page`        the page at `/`, on which a person can play
- `config`      its settings
- `sessions`    one episode per cookie: made from its row, one call at a time, always ended
- `tools`       the route of a tool: arguments in, text out, with a time limit
- `schemas`     the tools' schemas, made from the routes
- `pool`        things that take long to make, a few of them kept ready (where an archetype has such)
- `cluster`     work on a Ray cluster

A client
- `client`      a running environment, by HTTP
- `episodes`    one episode, from the seed to the verdict
- `players`     who plays without a model: policy.py
- `models`      who plays: a model behind an OpenAI-compatible endpoint
- `recording`   an episode's pictures, and a page to watch it

What all of them use
- `grading`     the verdict
- `answers`     the final answer in a model's response
- `rows`        data rows
- `project`     the environment's names and paths
- `items`, `pictures`, `bodies`, `access`, `rate_limit`, `logs`, `terminal`, `proxies`, `errors`

Nothing is imported here: NeMo Gym takes seconds to import, and rollout.py does not need it.
"""
