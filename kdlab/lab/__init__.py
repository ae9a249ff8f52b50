"""The lab floor: pages, panels (state and view apart), questions and the server of the dashboards."""
