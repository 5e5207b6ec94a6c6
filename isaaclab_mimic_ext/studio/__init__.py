"""The studio: a page in the browser on which a person records, marks and watches.

Threads: the main thread owns the environment and the recorder, the network thread (`StudioServer`) owns the sockets. The
server sends poses, and the page draws them. One page has control, the others watch.

A tab consists of a class derived from `tabs.Tab`, passed to `StudioServer`, and of the module `static/<name>.js`, which
exports a class `Tab`. A tab that is not passed is not shown. A tab without a title is a part of the page that is always
shown: `root` of its module is inserted below the header.

| Python (`tabs.Tab`) | page (`static/<name>.js`, class `Tab(studio)`) |
|---|---|
| `name`, `title`: of the tab | `show(panel, overlay, dock)` (beside, over, under the scene), `hide()` |
| `publish(event, ...)`: to all pages, from any thread | `receive(event)` |
| `publish_frame(bytes)`: newest wins, to pages that show the tab | `frame(view)`: a `DataView` |
| `shown(client)`: a page shows the tab from now on | |
| `receive(client, message)`: raise `Refusal` to refuse | `studio.order({do: ...})`: a promise of the answer |
| `resource(path)`: answers `GET /<name>/<path...>` | `studio.load(path)`: JSON or an `ArrayBuffer` |

`receive` and `resource` run in the network thread and must return at once; longer work runs in a thread of the tab.
`studio.scene` (`static/scene.js`) draws the scene of `GET /scene.json` at poses of its bodies (B, 7) float32, as
`PosedScene.body_poses` returns them: `studio.scene.setPoses(view, offset)`.
"""
