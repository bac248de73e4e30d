//! Pictures of results: for each scenario a group of bars for each cluster, a bar for each system.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{measurement::Measurement, report::round, system::System};

const SIZE: (u32, u32) = (960, 480);
const FONT: &str = "sans-serif";
const BACKGROUND: RGBColor = WHITE;
const INK: RGBColor = RGBColor(40, 44, 52);
const LINES: RGBColor = RGBColor(224, 226, 230);
/// How wide a bar is, of the room that it has.
const BAR: f64 = 0.8;
/// The room between two groups, in bars.
const GAP: f64 = 0.8;
/// The room above the highest bar, for its number.
const HEADROOM: f64 = 1.18;

/// What a picture shows: one metric of one scenario.
#[derive(Debug)]
pub(crate) struct Picture<'a> {
    pub(crate) title: &'a str,
    /// All of the same metric.
    pub(crate) measurements: &'a [&'a Measurement],
}

impl Picture<'_> {
    /// Writes it as SVG.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        self.draw(&area)
            .and_then(|()| area.present().map_err(|error| anyhow!("{error}")))
            .map_err(|error| error.context(format!("{} cannot be drawn", path.display())))
    }

    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<()> {
        let failed = |error: DrawingAreaErrorKind<_>| anyhow!("{error}");
        let Some(first) = self.measurements.first() else {
            return Ok(());
        };
        let groups = self.groups();
        let highest = self.measurements.iter().map(|it| it.max);
        let highest = highest.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let width = groups.iter().map(|(_, bars)| bars_wide(bars.len())).sum();

        area.fill(&BACKGROUND).map_err(failed)?;
        let (top, chart_area) = area.split_vertically(76);
        self.draw_title(&top, first)?;
        let mut chart = ChartBuilder::on(&chart_area)
            .margin(12)
            .x_label_area_size(28)
            .y_label_area_size(72)
            .build_cartesian_2d(0.0..width, 0.0..highest * HEADROOM)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .light_line_style(BACKGROUND)
            .bold_line_style(LINES)
            .axis_style(LINES)
            .y_labels(6)
            .y_label_formatter(&|value| round(*value))
            .label_style((FONT, 14).into_font().color(&INK))
            .draw()
            .map_err(failed)?;
        let centred = |size| {
            let pos = Pos::new(HPos::Center, VPos::Bottom);
            (FONT, size).into_font().color(&INK).pos(pos)
        };
        let mut at = GAP / 2.0;
        for (services, bars) in groups {
            let begin = at;
            for it in bars {
                let (left, right) = (at + (1.0 - BAR) / 2.0, at + f64::midpoint(1.0, BAR));
                let middle = at + 0.5;
                let bar = Rectangle::new([(left, 0.0), (right, it.median)], colour(it).filled());
                let spread = PathElement::new(vec![(middle, it.min), (middle, it.max)], INK);
                let number = Text::new(round(it.median), (middle, it.max), centred(13));
                chart.draw_series([bar]).map_err(failed)?;
                chart.draw_series([spread]).map_err(failed)?;
                chart.draw_series([number]).map_err(failed)?;
                at += 1.0;
            }
            let (x, _) = chart.backend_coord(&(f64::midpoint(begin, at), 0.0));
            let (_, y) = chart.backend_coord(&(0.0, 0.0));
            let pos = Pos::new(HPos::Center, VPos::Top);
            let style = (FONT, 15).into_font().color(&INK).pos(pos);
            let plural = if services == 1 { "" } else { "s" };
            area.draw(&Text::new(
                format!("{services} service{plural}"),
                (x, y + 6),
                style,
            ))
            .map_err(failed)?;
            at += GAP;
        }
        Ok(())
    }

    /// The title, the metric, and which colour is whose.
    fn draw_title(
        &self,
        area: &DrawingArea<SVGBackend<'_>, Shift>,
        first: &Measurement,
    ) -> Result<()> {
        let failed = |error: DrawingAreaErrorKind<_>| anyhow!("{error}");
        let style = |size| (FONT, size).into_font().color(&INK);
        area.draw(&Text::new(self.title.to_owned(), (16, 12), style(22)))
            .map_err(failed)?;
        let metric = format!("{} ({})", first.metric, first.unit);
        let right = style(15).pos(Pos::new(HPos::Right, VPos::Top));
        let (wide, _) = area.dim_in_pixel();
        let edge = i32::try_from(wide)? - 16;
        area.draw(&Text::new(metric, (edge, 16), right))
            .map_err(failed)?;
        let mut seen = Vec::new();
        let mut x = 16;
        for it in self.measurements {
            if seen.contains(&&it.system) {
                continue;
            }
            seen.push(&it.system);
            area.draw(&Rectangle::new(
                [(x, 50), (x + 14, 64)],
                colour(it).filled(),
            ))
            .map_err(failed)?;
            area.draw(&Text::new(&*it.system, (x + 20, 49), style(14)))
                .map_err(failed)?;
            // About as wide as letters of that size are.
            x += 48 + 8 * i32::try_from(it.system.len())?;
        }
        Ok(())
    }

    /// The measurements by the size of their cluster, in the order of the systems.
    fn groups(&self) -> Vec<(u32, Vec<&Measurement>)> {
        let mut sizes: Vec<_> = self.measurements.iter().map(|it| it.services).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let of_size = |services| {
            let all = self.measurements.iter().copied();
            (services, all.filter(|it| it.services == services).collect())
        };
        sizes.into_iter().map(of_size).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
fn bars_wide(count: usize) -> f64 {
    count as f64 + GAP
}

fn colour(it: &Measurement) -> RGBColor {
    let colours = [
        (System::Direct, RGBColor(154, 160, 172)),
        (System::NetproxySocket, RGBColor(16, 124, 95)),
        (System::NetproxyTc, RGBColor(45, 178, 128)),
        (System::NetproxyXdp, RGBColor(141, 214, 176)),
        (System::KubeProxyNftables, RGBColor(214, 122, 44)),
        (System::KubeProxyIptables, RGBColor(236, 178, 108)),
    ];
    let found = colours
        .iter()
        .find(|(system, _)| system.name() == it.system);
    found.map_or(INK, |(_, colour)| *colour)
}
