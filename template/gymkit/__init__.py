# Part of the template: changes belong there (`copier update` merges this file).
"""What every environment of this template shares, in layers: a module imports only from its own layer and those below.

The commands
- `cli`         the program `gymkit`; it alone loads server.py, tasks.py, task_data.py and policy.py

Programs, which are handed what they need of the environment
- `serve`       `python server.py`: the server alone, without Ray or a head server
- `data`        writes the task rows
- `records`     the records of a data set that rows are made of
- `cases`       writes the cases by which NeMo Gym tries the grader
- `check`       checks a live server
- `audit`       tries to earn rewards without solving tasks
- `view`        shows rollouts, training runs and audits: a page, and numbers
- `deploy`      puts the environment on a Hugging Face Space
- `upload`      which files go there, and which stay at home
- `wrap`        makes this the environment of a class that there is already
- `adopt`       makes this the environment of a hand-made server
- `wrapping`    their parts: what is read of the class, and what is written
- `describe`    carries the description to where it has to stand as well
- `conflicts`   names the conflict markers of an update
- `fixture`     the server in one process, and NeMo Gym's fixture of the cases

The server
- `server`      its endpoints: seed, tools, verify, close
- `middleware`  cookie, API key, size limit, and what happens to an error (plain ASGI)
- `openapi`     what /openapi.json says of them
- `page`        the page at `/`, on which a person can play
- `config`      all settings in one class: those of `sessions` (how many, for how long), `tools` and the rest
- `intake`      large bodies, as they arrive
- `large_bodies`  what is in them, read so that nobody waits for it
- `connections` how many connections there may be, and for how long
- `sessions`    one episode per cookie: made from its row, one call at a time, always ended; and the limits of these
- `places`      the line of those who wait for a place
- `row_keys`    what tells a session's row from others
- `shares`      who holds how much of what there is
- `tools`       the route of a tool: arguments in, text out, with a time limit
- `signatures`  a tool's function: which parameters make up its arguments
- `schemas`     the tools' schemas, made from the routes
- `judge`       asks a judge model where no rule decides (where an archetype has one)
- `services`    a service outside: key, rate, retries, and whose fault a failure is (where an archetype has one)
- `replay`      what services have answered, recorded and given again
- `web`         pages of the public web, and none of the server's own network
- `pool`        things that take long to make, a few of them kept ready (where an archetype has such)
- `forks`       programs that are forked, not started (where an archetype has such)
- `shapes`      a tool's answer as text, episodes of Gymnasium: what a wrapped class is served with
- `users`       a user who answers what a policy says, by a script (`scripts`) or a model (where an archetype has one)
- `second_model`  a model that the environment asks: as a judge, or as a user
- `cluster`     work on a Ray cluster

A client
- `client`      a running environment, by HTTP
- `episodes`    one episode, from the seed to the verdict
- `players`     who plays without a model: policy.py
- `models`      who plays: a model behind an OpenAI-compatible endpoint
- `trajectories`  what NeMo Gym's own tools read in an episode
- `recording`   an episode's pictures, and a page to watch it

What all of them use
- `grading`     the verdict
- `answers`     the final answer in a model's response
- `symbolic`    whether two mathematical expressions are equal, in processes that can be killed (`symbolic_worker`)
- `forms`       a mathematical answer: its value, and the form that is asked for
- `rows`        data rows
- `arguments`   a tool's arguments at random, from its schema
- `project`     the environment's names and paths
- `redaction`   keys, kept out of what is shown, logged, recorded or answered
- `responses`   a model's response, read from a request for a verdict
- `replies`     what a model has answered, read whatever form it comes in
- `renew`       what such a fork must not share with others
- `turns`       a user's turn, for whoever plays
- `logs`        the log: a line per event
- `metrics`     what `/metrics` shows
- `items`, `pictures`, `waiting`, `bodies`, `access`, `rate_limit`, `terminal`, `proxies`,
  `errors`

Nothing is imported here: NeMo Gym takes seconds to import, and rollout.py does not need it.
"""
