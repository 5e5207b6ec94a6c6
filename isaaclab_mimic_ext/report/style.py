"""How the page looks."""

STYLE = """
:root { color: #22313f; background: #f4f6f8;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }
body { margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px; }
header, section { background: #fff; border: 1px solid #e3e8ed; border-radius: 10px; padding: 22px 28px;
  margin-bottom: 18px; }
h1 { font-size: 24px; margin: 0 0 6px; font-weight: 650; }
h1 em { font: 600 12px/1 system-ui, sans-serif; color: #2a7fb8; background: #e8f2f9; border-radius: 99px; padding: 5px 10px;
  vertical-align: middle; margin-left: 8px; }
h2 { font-size: 18px; margin: 0 0 2px; font-weight: 650; }
h3 { font-size: 15px; margin: 18px 0 2px; font-weight: 650; }
.explanation, .note { color: #6b7785; margin: 0 0 14px; font-size: 13.5px; max-width: 90ch; }
.note { margin: 4px 0 8px; }
.settings span { margin-right: 18px; font-size: 13.5px; overflow-wrap: anywhere; }
.settings i { color: #6b7785; font-style: normal; }
.figures { display: flex; flex-wrap: wrap; gap: 12px 40px; margin-top: 18px; }
.figure b { display: block; font-size: 28px; line-height: 1.15; font-weight: 650; font-variant-numeric: tabular-nums; }
.figure span { display: block; font-size: 13.5px; }
.figure small { color: #6b7785; }
svg { display: block; width: 100%; height: auto; font-family: inherit; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(460px, 1fr)); gap: 18px 26px; }
figure { margin: 0; }
figcaption { font-weight: 650; margin-bottom: 4px; }
.pair { display: flex; align-items: center; gap: 6px; }
.pair svg:first-child { flex: 0 1 340px; }
.pair svg:nth-child(2) { flex: 0 1 160px; }
.keys { display: flex; flex-wrap: wrap; gap: 4px 18px; align-items: center; margin-bottom: 12px; font-size: 13px; }
.keys svg { width: 210px; }
.key i, .dot { display: inline-block; width: 10px; height: 10px; border-radius: 50%; margin-right: 6px; }
.wide { overflow-x: auto; }
table.demos { border-collapse: separate; border-spacing: 3px; font-size: 13px; font-variant-numeric: tabular-nums; }
table.demos th { font-weight: 600; text-align: left; padding: 3px 10px; }
table.demos td { min-width: 84px; text-align: center; padding: 4px 10px; border-radius: 4px; }
table.demos td b { font-weight: 600; }
table.demos td small { opacity: .65; }
td.none { color: #b3bcc5; }
.trial { margin: 10px 0 16px; }
.trial p { margin: 0 0 4px; font-size: 13.5px; }
.trial small { color: #6b7785; margin-left: 6px; }
.film { display: flex; gap: 10px; align-items: flex-start; }
.strip { flex: 4; min-width: 0; }
.strip img { display: block; width: 100%; border-radius: 6px; }
.film video { flex: 1; min-width: 0; max-width: 20%; border-radius: 6px; }
.steps { display: grid; grid-template-columns: repeat(4, 1fr); color: #6b7785; font-size: 11.5px; text-align: center; }
@media (max-width: 700px) {
  .cards { grid-template-columns: 1fr; }
  .film { flex-direction: column; }
  .film video { max-width: 60%; }
}
"""
